//! Bars that show counts, drawn after their numbers.

/// The block characters that fill 0 to 7 eighths of a cell.
const EIGHTHS: [&str; 8] = ["", "▏", "▎", "▍", "▌", "▋", "▊", "▉"];
/// The minimum width of bars, in columns. Shorter ones show too little.
const MIN_WIDTH: u16 = 8;
const MAX_WIDTH: u16 = 60;

/// The width and the characters of bars.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bars {
    width: u16,
    unicode: bool,
}

impl Bars {
    /// Bars that fill the terminal beside a table of `taken` columns. `None` if the output is not a terminal, or if the space is
    /// too small.
    pub(super) fn beside(taken: u16, terminal: Option<u16>, unicode: bool) -> Option<Self> {
        let width = terminal?.saturating_sub(taken).min(MAX_WIDTH);
        (width >= MIN_WIDTH).then_some(Self { width, unicode })
    }

    /// The bar of a count; `max` fills the width. A count above 0 always has a visible bar.
    pub(super) fn bar(self, count: u64, max: u64) -> String {
        if count == 0 || max == 0 {
            return String::new();
        }
        let steps = if self.unicode { 8 } else { 1 };
        let share = u128::from(count.min(max)) * u128::from(self.width) * steps / u128::from(max);
        let share = usize::try_from(share.max(1)).unwrap_or(usize::MAX);
        if self.unicode {
            format!("{}{}", "█".repeat(share / 8), EIGHTHS[share % 8])
        } else {
            "#".repeat(share)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_scaled_to_the_remaining_width() {
        let bars = Bars::beside(30, Some(40), true).unwrap();
        let drawn = [80, 40, 41, 1, 0].map(|count| bars.bar(count, 80));
        assert_eq!(drawn, ["██████████", "█████", "█████▏", "▏", ""]);
        let bars = Bars::beside(30, Some(40), false).unwrap();
        let drawn = [80, 40, 41, 1, 0].map(|count| bars.bar(count, 80));
        assert_eq!(drawn, ["##########", "#####", "#####", "#", ""]);
        assert_eq!(bars.bar(u64::MAX, u64::MAX), "##########");
    }

    #[test]
    fn a_pipe_and_a_narrow_terminal_have_no_bars() {
        assert_eq!(Bars::beside(30, None, true), None);
        assert_eq!(Bars::beside(75, Some(80), true), None);
        assert_eq!(Bars::beside(90, Some(80), true), None);
    }
}
