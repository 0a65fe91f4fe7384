//! Made-up bad histories.
