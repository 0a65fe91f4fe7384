//! Parses canonical JSON (RFC 8785) and refuses any other text, without building a value.
//!
//! A value has exactly one canonical text: no white space, unique members in the order of their names, one spelling
//! for each character and number. The ledger adds two limits: numbers are integers below 2^53, and names are ASCII
//! without escapes.

/// Maximum nesting. Entries are far below it. It protects the stack from hostile input.
const MAX_DEPTH: usize = 64;

/// 2^53, the first integer that is too large.
const NUMBERS_END: &[u8] = b"9007199254740992";

/// Why a text is refused, with the byte offset at which the parser stopped.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("not canonical JSON (RFC 8785): {what} at byte {at}")]
pub(super) struct NotCanonical {
    what: &'static str,
    at: usize,
}

type Parsed<T> = Result<T, NotCanonical>;

/// Parses an object, and calls `member` with the name and the JSON text of each member. Returns the JSON text that the names in
/// `path` lead to through nested objects, if there is one.
///
/// # Errors
/// If the text is not a canonical object.
pub(super) fn read_object<'a>(
    text: &'a [u8],
    path: &[&[u8]],
    member: impl FnMut(&'a [u8], &'a [u8]),
) -> Parsed<Option<&'a [u8]>> {
    let mut reader = CanonicalReader {
        text,
        at: 0,
        is_ascii: true,
        found: None,
    };
    reader.object(MAX_DEPTH, path, member)?;
    if reader.at < text.len() {
        return Err(reader.refuse("text after the object"));
    }
    match reader.is_ascii || str::from_utf8(text).is_ok() {
        true => Ok(reader.found),
        false => Err(reader.refuse("not UTF-8")),
    }
}

struct CanonicalReader<'a> {
    text: &'a [u8],
    at: usize,
    is_ascii: bool,
    /// The text at the end of the path.
    found: Option<&'a [u8]>,
}

impl<'a> CanonicalReader<'a> {
    fn refuse(&self, what: &'static str) -> NotCanonical {
        NotCanonical { what, at: self.at }
    }

    fn peek(&self) -> Option<u8> {
        self.text.get(self.at).copied()
    }

    /// Consumes the next byte if it is `byte`.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Parsed<()> {
        match self.take(byte) {
            true => Ok(()),
            false => Err(self.refuse(what)),
        }
    }

    /// Parses a value and returns its text. `depth` is the number of levels that may still be nested, `path` what is left of the
    /// path in this value.
    fn value(&mut self, depth: usize, path: &[&[u8]]) -> Parsed<&'a [u8]> {
        let start = self.at;
        match self.peek() {
            Some(b'"') => drop(self.string()?),
            Some(b'{') => self.object(depth, path, |_, _| {})?,
            Some(b'[') => self.array(depth)?,
            Some(b'-' | b'0'..=b'9') => self.number()?,
            _ => self.literal()?,
        }
        Ok(&self.text[start..self.at])
    }

    fn object(&mut self, depth: usize, path: &[&[u8]], mut member: impl FnMut(&'a [u8], &'a [u8])) -> Parsed<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.refuse("too deeply nested"))?;
        self.expect(b'{', "expected an object")?;
        if self.take(b'}') {
            return Ok(());
        }
        let mut last = None;
        loop {
            let name = self.name(last)?;
            self.expect(b':', "expected a colon")?;
            let value = match path {
                [wanted, rest @ ..] if *wanted == name => {
                    let value = self.value(depth, rest)?;
                    if rest.is_empty() {
                        self.found = Some(value);
                    }
                    value
                }
                _ => self.value(depth, &[])?,
            };
            member(name, value);
            last = Some(name);
            if self.take(b'}') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or a brace")?;
        }
    }

    fn name(&mut self, last: Option<&[u8]>) -> Parsed<&'a [u8]> {
        self.expect(b'"', "expected a name")?;
        let start = self.at;
        self.at += plain_bytes(&self.text[start..]);
        let name = &self.text[start..self.at];
        self.expect(b'"', "a name that does not end, is not ASCII, or has an escape")?;
        match last.is_none_or(|last| last < name) {
            true => Ok(name),
            false => Err(self.refuse("a name that is repeated or out of order")),
        }
    }

    fn array(&mut self, depth: usize) -> Parsed<()> {
        let depth = depth.checked_sub(1).ok_or_else(|| self.refuse("too deeply nested"))?;
        self.expect(b'[', "expected an array")?;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth, &[])?;
            if self.take(b']') {
                return Ok(());
            }
            self.expect(b',', "expected a comma or a bracket")?;
        }
    }

    /// Parses a string and returns the text between its quotes.
    fn string(&mut self) -> Parsed<&'a [u8]> {
        self.expect(b'"', "expected a string")?;
        let start = self.at;
        loop {
            self.at += plain_bytes(&self.text[self.at..]);
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.escape()?,
                Some(0x80..) => {
                    self.is_ascii = false;
                    self.at += 1;
                }
                _ => return Err(self.refuse("a string that does not end, or a control character")),
            }
        }
        self.at += 1;
        Ok(&self.text[start..self.at - 1])
    }

    /// Parses an escape: the short form if there is one, else `\u00` with two lower-case hex digits.
    fn escape(&mut self) -> Parsed<()> {
        let length = match &self.text[self.at + 1..] {
            [b'"' | b'\\' | b'b' | b'f' | b'n' | b'r' | b't', ..] => 2,
            [b'u', b'0', b'0', b'0', b'0'..=b'7' | b'b' | b'e' | b'f', ..] => 6,
            [b'u', b'0', b'0', b'1', b'0'..=b'9' | b'a'..=b'f', ..] => 6,
            _ => return Err(self.refuse("an escape that is not canonical")),
        };
        self.at += length;
        Ok(())
    }

    fn number(&mut self) -> Parsed<()> {
        let is_negative = self.take(b'-');
        let digits = self.text[self.at..].iter().take_while(|byte| byte.is_ascii_digit());
        let start = self.at;
        self.at += digits.count();
        let is_canonical = match &self.text[start..self.at] {
            [b'0'] => !is_negative,
            digits @ [b'1'..=b'9', ..] => (digits.len(), digits) < (NUMBERS_END.len(), NUMBERS_END),
            _ => false,
        };
        match is_canonical {
            true => Ok(()),
            false => {
                Err(self.refuse("expected an integer from -(2^53 - 1) to 2^53 - 1, without leading zeros and not -0"))
            }
        }
    }

    fn literal(&mut self) -> Parsed<()> {
        let rest = &self.text[self.at..];
        let literals: [&[u8]; 3] = [b"true", b"false", b"null"];
        let literal = literals.iter().find(|literal| rest.starts_with(literal));
        self.at += literal.ok_or_else(|| self.refuse("expected a value"))?.len();
        Ok(())
    }
}

/// The number of leading bytes that stand for themselves in a string. Looks at eight at a time, since most of an
/// entry is strings.
fn plain_bytes(text: &[u8]) -> usize {
    let (words, rest) = text.as_chunks::<8>();
    for (word, at) in words.iter().zip((0..).step_by(8)) {
        let special = special_bytes(u64::from_le_bytes(*word));
        if special != 0 {
            return at + special.trailing_zeros() as usize / 8;
        }
    }
    let is_plain = |byte: &&u8| matches!(byte, 0x20..0x80) && !matches!(byte, b'"' | b'\\');
    8 * words.len() + rest.iter().take_while(is_plain).count()
}

/// Sets the highest bit of the first byte that is a control character, a quote, a backslash or not ASCII. Higher
/// bytes of the result are undefined, because the subtraction may borrow.
fn special_bytes(word: u64) -> u64 {
    const EACH: u64 = u64::MAX / 0xff;
    let less_than = |word: u64, byte: u8| word.wrapping_sub(EACH * u64::from(byte)) & !word;
    let equal_to = |byte: u8| less_than(word ^ (EACH * u64::from(byte)), 1);
    (less_than(word, 0x20) | equal_to(b'"') | equal_to(b'\\') | word) & (EACH << 7)
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*, sample::select};
    use serde_json::Value;

    use super::*;

    fn is_accepted(text: &[u8]) -> bool {
        read_object(text, &[], |_, _| {}).is_ok()
    }

    /// The expected result, by two other libraries: a parser and a canonicalizer.
    fn is_canonical(text: &[u8]) -> bool {
        let value: Result<Value, _> = serde_json::from_slice(text);
        value.is_ok_and(|value| {
            let is_within_limits = value.is_object() && within_limits(&value, MAX_DEPTH);
            is_within_limits
                && serde_json_canonicalizer::to_string(&value).is_ok_and(|written| written.as_bytes() == text)
        })
    }

    fn within_limits(value: &Value, depth: usize) -> bool {
        match value {
            Value::Number(number) => number.as_i64().is_some_and(|number| number.unsigned_abs() < 1 << 53),
            Value::Array(values) => depth > 0 && values.iter().all(|value| within_limits(value, depth - 1)),
            Value::Object(members) => {
                let fits = |(name, value): (&String, &Value)| is_plain(name) && within_limits(value, depth - 1);
                depth > 0 && members.iter().all(fits)
            }
            _ => true,
        }
    }

    /// True if a member name is ASCII that needs no escape. The parser refuses other names.
    fn is_plain(name: &str) -> bool {
        name.chars().all(|c| matches!(c, ' '..='\u{7f}') && !"\"\\".contains(c))
    }

    fn value() -> impl Strategy<Value = Value> {
        let text = "(\\PC|[\u{0}-\u{1f}\u{7f}\"\\\\/]){0,6}";
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            select(vec![0, 1, -1, 10, 9_007_199_254_740_991_i64, -9_007_199_254_740_991]).prop_map(Value::from),
            text.prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 20, 4, |inner| {
            prop_oneof![
                vec(inner.clone(), 0..4).prop_map(Value::from),
                vec(("[a-e_]{0,2}", inner), 0..4).prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    /// Canonical texts with one or two edits. Most are not canonical any more.
    fn edited() -> impl Strategy<Value = Vec<u8>> {
        let pieces: Vec<&[u8]> = vec![
            b"",
            b" ",
            b"\n",
            b"\"",
            b"\\",
            b"\\u001f",
            b"\\u001F",
            b"\\u000a",
            b"\\u0041",
            b"\\/",
            b"\\ud800",
            b"0",
            b"00",
            b"-",
            b".0",
            b"e1",
            b"9007199254740992",
            b",",
            b":",
            b"{",
            b"}",
            b"[",
            b"]",
            b"[]",
            b"{}",
            b"null",
            b"tru",
            b"\x01",
            b"\x7f",
            b"\xff",
            b"\xc3\xa9",
            b"\xed\xa0\x80",
            b"\"a\":0,",
            b",\"a\":0",
        ];
        let fault = (any::<prop::sample::Index>(), 0..3_usize, select(pieces));
        (value(), vec(fault, 1..3)).prop_map(|(value, faults)| {
            let mut text = canonical(&value);
            for (at, length, instead) in faults {
                let start = at.index(text.len() + 1);
                let end = text.len().min(start + length);
                text.splice(start..end, instead.iter().copied());
            }
            text
        })
    }

    fn canonical(value: &Value) -> Vec<u8> {
        let object = serde_json::json!({ "v": value });
        serde_json_canonicalizer::to_vec(&object).unwrap()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn any_canonical_text_is_accepted(value in value()) {
            let text = canonical(&value);
            prop_assert!(is_accepted(&text), "{}", String::from_utf8_lossy(&text));
            let mut members = Vec::new();
            let found = read_object(&text, &[b"v", b"a"], |name, value| members.push((name, value))).unwrap();
            prop_assert_eq!(members, [(&b"v"[..], &text[5..text.len() - 1])]);
            let wanted = value.get("a").map(|value| serde_json_canonicalizer::to_vec(value).unwrap());
            prop_assert_eq!(found, wanted.as_deref());
        }

        #[test]
        fn the_parser_agrees_with_two_libraries(text in edited()) {
            prop_assert_eq!(is_accepted(&text), is_canonical(&text), "{}", String::from_utf8_lossy(&text));
        }
    }

    #[test]
    fn texts_that_are_not_canonical_are_refused() {
        for text in [
            " {}",
            "{} ",
            "{ }",
            "[]",
            "0",
            "",
            "{\"a\": 0}",
            "{\"a\" :0}",
            "{\"a\":0,}",
            "{,}",
            "{\"a\":0 }",
            "{\"a\":[0, 1]}",
            "{\"a\":0,\"a\":0}",
            "{\"b\":0,\"a\":0}",
            "{\"a\":[{\"b\":0,\"b\":0}]}",
            "{\"\\u0061\":0}",
            "{\"a\":\"\\u0061\"}",
            "{\"a\":\"\\/\"}",
            "{\"a\":\"\\u000a\"}",
            "{\"a\":\"\\u001F\"}",
            "{\"a\":\"\\ud83d\\ude00\"}",
            "{\"a\":\"\\ud800\"}",
            "{\"a\":\"\\",
            "{\"a\":\"\\u00",
            "{\"a\":\"\u{1}\"}",
            "{\"a\":-0}",
            "{\"a\":00}",
            "{\"a\":1.0}",
            "{\"a\":1e2}",
            "{\"a\":9007199254740992}",
            "{\"a\":-9007199254740992}",
            "{\"a\":18446744073709551616}",
            "{\"a\":NaN}",
            "{\"a\"}",
            "{\"a\":}",
            "{\"a\":nul}",
            "{\"a\":truefalse}",
        ] {
            assert!(!is_accepted(text.as_bytes()), "{text}");
            assert!(!is_canonical(text.as_bytes()), "{text}");
        }
    }

    #[test]
    fn nesting_has_a_limit() {
        let nested = |depth: usize| format!("{{\"a\":{}{}}}", "[".repeat(depth), "]".repeat(depth));
        assert!(is_accepted(nested(MAX_DEPTH - 1).as_bytes()));
        for depth in [MAX_DEPTH, 1_000_000] {
            let error = read_object(nested(depth).as_bytes(), &[], |_, _| {}).unwrap_err();
            assert_eq!(error.what, "too deeply nested");
        }
    }
}
