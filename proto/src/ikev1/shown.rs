//! What a peer's text may show to people: characters that neither control a terminal nor turn what stands beside them around.

/// Characters without a form of their own (Unicode's categories Cf, Zl and Zp), from and to.
const FORMAT: [(char, char); 16] = [
    ('\u{ad}', '\u{ad}'),
    ('\u{600}', '\u{605}'),
    ('\u{61c}', '\u{61c}'),
    ('\u{6dd}', '\u{6dd}'),
    ('\u{70f}', '\u{70f}'),
    ('\u{890}', '\u{891}'),
    ('\u{8e2}', '\u{8e2}'),
    ('\u{180e}', '\u{180e}'),
    ('\u{200b}', '\u{200f}'),
    ('\u{2028}', '\u{202e}'),
    ('\u{2060}', '\u{206f}'),
    ('\u{feff}', '\u{feff}'),
    ('\u{fff9}', '\u{fffb}'),
    ('\u{110bd}', '\u{110cd}'),
    ('\u{1d173}', '\u{1d17a}'),
    ('\u{e0000}', '\u{e007f}'),
];

/// Whether it may be shown; line ends may not.
pub(super) fn is_shown(character: char) -> bool {
    let is_format = |(first, last): &(char, char)| (*first..=*last).contains(&character);
    !character.is_control() && !FORMAT.iter().any(is_format)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_of_all_scripts_are_shown_and_what_turns_or_hides_them_is_not() {
        assert!("Grüße, 世界! مرحبا \u{1f600}".chars().all(is_shown));
        for hidden in
            "\n\r\u{1b}\u{7f}\u{9b}\u{200b}\u{202e}\u{2066}\u{2028}\u{feff}\u{e0041}".chars()
        {
            assert!(!is_shown(hidden), "{hidden:?}");
        }
    }
}
