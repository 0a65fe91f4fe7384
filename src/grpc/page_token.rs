//! Page tokens: where the next page begins, bound to the filters of the list.
//!
//! A token is base64url of a version, the permission that the page before ended with, and a digest over both and the
//! filters. The digest finds alterations and other filters; it is no secret, and need not be: a forged token could only
//! name a place in an order that its caller may read anyway. The size of the page is not bound, so it may differ.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use sha2::{Digest, Sha256};

use crate::{
    domain::{AccountId, ImageId, PermissionKey, PermissionState, Region},
    store::reads::PermissionFilter,
};

const VERSION: u8 = 1;
const CONTEXT: &[u8] = b"sharewarden.v1 page token";
const DIGEST_LENGTH: usize = 16;
const ACCOUNT_LENGTH: usize = 12;

/// The token for the page after `last`.
pub(super) fn seal(filter: &PermissionFilter, last: &PermissionKey) -> String {
    let mut token = vec![VERSION];
    token.extend(last.account.as_str().as_bytes());
    token.extend(last.shared_account.as_str().as_bytes());
    token.extend(last.image.as_str().as_bytes());
    // An image id has no slash, so the Region is what comes after it.
    token.push(b'/');
    token.extend(last.region.as_str().as_bytes());
    token.extend(digest(filter, &token));
    BASE64_URL_SAFE_NO_PAD.encode(token)
}

/// Reads a token of [`seal`]; none if it was altered, or made for other filters.
pub(super) fn open(filter: &PermissionFilter, token: &str) -> Option<PermissionKey> {
    let token = BASE64_URL_SAFE_NO_PAD.decode(token).ok()?;
    let (content, seal) = token.split_at_checked(token.len().checked_sub(DIGEST_LENGTH)?)?;
    if seal != digest(filter, content) {
        return None;
    }
    let (&version, position) = content.split_first()?;
    if version != VERSION {
        return None;
    }
    read_position(std::str::from_utf8(position).ok()?)
}

fn read_position(text: &str) -> Option<PermissionKey> {
    let (account, text) = text.split_at_checked(ACCOUNT_LENGTH)?;
    let (shared_account, text) = text.split_at_checked(ACCOUNT_LENGTH)?;
    let (image, region) = text.split_once('/')?;
    Some(PermissionKey {
        account: account.parse().ok()?,
        region: region.parse().ok()?,
        image: image.parse().ok()?,
        shared_account: shared_account.parse().ok()?,
    })
}

/// Every part goes in after its length, so that no two inputs read the same.
fn digest(filter: &PermissionFilter, content: &[u8]) -> [u8; DIGEST_LENGTH] {
    let PermissionFilter {
        account,
        region,
        image,
        shared_account,
        state,
    } = filter;
    // Nothing that can be filtered by is empty: an empty text stands for an absent one.
    let filters = [
        account.as_ref().map_or("", AccountId::as_str),
        region.as_ref().map_or("", Region::as_str),
        image.as_ref().map_or("", ImageId::as_str),
        shared_account.as_ref().map_or("", AccountId::as_str),
        state.map_or("", PermissionState::as_str),
    ];
    let mut hash = Sha256::new();
    for part in [CONTEXT, content].into_iter().chain(filters.map(str::as_bytes)) {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut digest = [0; DIGEST_LENGTH];
    digest.copy_from_slice(&hash.finalize()[..DIGEST_LENGTH]);
    digest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key() -> PermissionKey {
        PermissionKey {
            account: "000011112222".parse().unwrap(),
            region: "eu-central-1".parse().unwrap(),
            image: "wsi-123456789".parse().unwrap(),
            shared_account: "210987654321".parse().unwrap(),
        }
    }

    fn filter() -> PermissionFilter {
        PermissionFilter {
            account: Some(key().account),
            state: Some(PermissionState::Shared),
            ..PermissionFilter::default()
        }
    }

    #[test]
    fn every_altered_bit_is_refused() {
        let token = seal(&filter(), &key());
        assert_eq!(open(&filter(), &token), Some(key()));
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(&token).unwrap();
        for bit in 0..bytes.len() * 8 {
            let mut altered = bytes.clone();
            altered[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(
                open(&filter(), &BASE64_URL_SAFE_NO_PAD.encode(altered)),
                None,
                "bit {bit}"
            );
        }
        for bit in 0..token.len() * 8 {
            let mut altered = token.clone().into_bytes();
            altered[bit / 8] ^= 1 << (bit % 8);
            if let Ok(altered) = String::from_utf8(altered) {
                assert_eq!(open(&filter(), &altered), None, "{altered}");
            }
        }
        for length in 0..token.len() {
            assert_eq!(open(&filter(), &token[..length]), None, "{length} characters");
        }
    }

    #[test]
    fn a_token_for_other_filters_is_refused() {
        let token = seal(&filter(), &key());
        let others = [
            PermissionFilter::default(),
            PermissionFilter {
                account: None,
                ..filter()
            },
            PermissionFilter {
                account: None,
                shared_account: filter().account,
                ..filter()
            },
            PermissionFilter {
                account: Some("999999999999".parse().unwrap()),
                ..filter()
            },
            PermissionFilter {
                region: Some(key().region),
                ..filter()
            },
            PermissionFilter {
                image: Some(key().image),
                ..filter()
            },
            PermissionFilter {
                shared_account: Some(key().shared_account),
                ..filter()
            },
            PermissionFilter {
                state: None,
                ..filter()
            },
            PermissionFilter {
                state: Some(PermissionState::NotShared),
                ..filter()
            },
        ];
        for other in others {
            assert_eq!(open(&other, &token), None, "{other:?}");
        }
    }

    #[test]
    fn a_token_of_another_version_is_refused_even_if_its_digest_is_right() {
        let mut content = vec![VERSION + 1];
        content.extend(b"000011112222210987654321wsi-123456789/eu-central-1");
        content.extend(digest(&filter(), &content));
        assert_eq!(open(&filter(), &BASE64_URL_SAFE_NO_PAD.encode(&content)), None);
    }

    proptest! {
        #[test]
        fn a_token_names_where_the_page_ended(
            account in "[0-9]{12}", region in "[-0-9a-z]{1,31}", image in "wsi-[0-9a-z]{9,63}", shared in "[0-9]{12}",
        ) {
            let key = PermissionKey {
                account: account.parse().unwrap(),
                region: region.parse().unwrap(),
                image: image.parse().unwrap(),
                shared_account: shared.parse().unwrap(),
            };
            prop_assert_eq!(open(&filter(), &seal(&filter(), &key)), Some(key));
        }

        #[test]
        fn garbage_is_refused(garbage in ".{0,200}", bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert_eq!(open(&filter(), &garbage), None);
            prop_assert_eq!(open(&filter(), &BASE64_URL_SAFE_NO_PAD.encode(&bytes)), None);
            // Garbage under a right digest gets further.
            let mut sealed = bytes;
            sealed.extend(digest(&filter(), &sealed));
            open(&filter(), &BASE64_URL_SAFE_NO_PAD.encode(&sealed));
        }
    }
}
