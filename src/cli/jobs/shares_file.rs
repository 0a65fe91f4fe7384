//! The file of `grant --from-file`: CSV with a head, one share on each row. Every wrong row is reported before anything is sent.

use std::{collections::HashMap, fs, path::Path, str::FromStr};

use csv::ByteRecord;

use crate::{
    cli::{
        ends::UntilArg,
        failure::{Exit, Failure, FieldProblem},
        text::one_line,
    },
    client::{
        GrantEnd,
        job::{JobAction, JobChange, ShareName},
    },
    domain::{AccountId, ImageId, Invalid, Reason, Region, Ticket},
};

/// The names of the columns, in the order of [`FileColumn`].
const NAMES: [&str; 7] = ["account", "region", "image", "recipient", "reason", "ticket", "until"];

/// A column of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileColumn {
    Account,
    Region,
    Image,
    Recipient,
    Reason,
    Ticket,
    Until,
}

/// The grants of a file, and how many rows repeat another row.
#[derive(Debug)]
pub(super) struct SharesFile {
    pub(super) grants: Vec<JobChange>,
    pub(super) repeated: usize,
}

/// What a row means that leaves a column empty, or a file that leaves it out.
#[derive(Debug, Clone, Default)]
pub(super) struct FileDefaults {
    pub(super) account: Option<AccountId>,
    pub(super) region: Option<Region>,
    /// The end of the shares.
    pub(super) end: Option<GrantEnd>,
}

/// Reads the file.
pub(super) fn read(path: &Path, defaults: FileDefaults) -> Result<SharesFile, Failure> {
    let bytes = fs::read(path).map_err(|error| {
        let what = format!("cannot read {}: {error}", path.display());
        Failure::new(Exit::Invalid, what, "check --from-file")
    })?;
    let mut parser = Parser {
        defaults,
        ..Parser::default()
    };
    match parser.parse(&bytes) {
        Ok(()) if parser.faults.is_empty() => Ok(SharesFile {
            grants: parser.grants,
            repeated: parser.repeated,
        }),
        Ok(()) => {
            let what = format!(
                "{}: {} of {} rows are wrong",
                path.display(),
                parser.wrong_rows,
                parser.rows
            );
            let failure = Failure::new(
                Exit::Invalid,
                what,
                "nothing was sent; correct these rows, then run the command again",
            );
            Err(failure.with_faults(parser.faults))
        }
        Err(wrong) => {
            let hint = "the first line must name the columns: account,region,image,recipient,reason and, if needed, ticket and until; \
                        --account and --region replace a missing account and region";
            Err(Failure::new(
                Exit::Invalid,
                format!("{}: {wrong}", path.display()),
                hint,
            ))
        }
    }
}

#[derive(Debug, Default)]
struct Parser {
    defaults: FileDefaults,
    grants: Vec<JobChange>,
    /// Where each share is: the index of the grant, and its line.
    seen: HashMap<ShareName, (usize, u64)>,
    repeated: usize,
    rows: usize,
    wrong_rows: usize,
    faults: Vec<FieldProblem>,
}

impl Parser {
    /// Fails if the head is wrong. Wrong rows are in `faults`.
    fn parse(&mut self, bytes: &[u8]) -> Result<(), String> {
        let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .from_reader(bytes);
        let mut record = ByteRecord::new();
        let mut columns = None;
        // Reading from memory cannot fail, and with `flexible` no number of fields is an error.
        while reader
            .read_byte_record(&mut record)
            .map_err(|error| error.to_string())?
        {
            if record.iter().all(<[u8]>::is_empty) {
                continue;
            }
            let line = record.position().map_or(0, csv::Position::line);
            match &columns {
                None => columns = Some(head(&record, &self.defaults).map_err(|wrong| format!("line {line}: {wrong}"))?),
                Some(columns) => self.row(line, columns, &record),
            }
        }
        match columns {
            None => Err("the file is empty".to_owned()),
            Some(_) if self.rows == 0 => Err("the file has a head and no rows".to_owned()),
            Some(_) => Ok(()),
        }
    }

    fn row(&mut self, line: u64, columns: &[FileColumn], record: &ByteRecord) {
        self.rows += 1;
        let before = self.faults.len();
        if record.len() == columns.len() {
            self.fields(line, columns, record);
        } else {
            let (fields, wanted) = (record.len(), columns.len());
            let rule = format!("must have {wanted} fields, as the head; has {fields}");
            self.faults.push(fault(format!("line {line}"), rule));
        }
        self.wrong_rows += usize::from(self.faults.len() > before);
    }

    fn fields(&mut self, line: u64, columns: &[FileColumn], record: &ByteRecord) {
        let mut fields = Fields {
            line,
            columns,
            record,
            faults: &mut self.faults,
        };
        let account = fields.parsed_or(FileColumn::Account, self.defaults.account.as_ref());
        let region = fields.parsed_or(FileColumn::Region, self.defaults.region.as_ref());
        let image = fields.parsed::<ImageId>(FileColumn::Image);
        let recipient = fields.parsed::<AccountId>(FileColumn::Recipient);
        let reason = fields.parsed::<Reason>(FileColumn::Reason);
        let ticket = fields.optional::<Ticket>(FileColumn::Ticket);
        let end = fields.end(self.defaults.end.as_ref());
        if account.is_some() && account == recipient {
            fields.wrong(FileColumn::Recipient, "must not be the account that owns the image");
            return;
        }
        let (Some(account), Some(region), Some(image)) = (account, region, image) else {
            return;
        };
        let (Some(recipient), Some(reason), Some(ticket), Some(end)) = (recipient, reason, ticket, end) else {
            return;
        };
        let grant = JobChange {
            action: JobAction::Grant,
            share: ShareName {
                account_id: account.to_string(),
                region: region.to_string(),
                image_id: image.to_string(),
                shared_account_id: recipient.to_string(),
            },
            reason: reason.to_string(),
            ticket: ticket.map(|ticket| ticket.to_string()).unwrap_or_default(),
            end,
        };
        self.add(line, grant);
    }

    /// A row that repeats another one counts once. The same share with another reason, ticket or end is an error.
    fn add(&mut self, line: u64, grant: JobChange) {
        match self.seen.get(&grant.share) {
            None => {
                self.seen.insert(grant.share.clone(), (self.grants.len(), line));
                self.grants.push(grant);
            }
            Some((at, _)) if self.grants[*at] == grant => self.repeated += 1,
            Some((_, first)) => self.faults.push(fault(
                format!("line {line}"),
                format!("has the share of line {first} again, with another reason, ticket or end"),
            )),
        }
    }
}

fn fault(place: String, rule: String) -> FieldProblem {
    FieldProblem {
        field: place,
        option: None,
        description: rule,
    }
}

/// The columns that the head names.
fn head(record: &ByteRecord, defaults: &FileDefaults) -> Result<Vec<FileColumn>, String> {
    let mut columns = Vec::new();
    for name in record {
        let name = String::from_utf8_lossy(name);
        let column = FileColumn::of(name.trim()).ok_or_else(|| match record.len() {
            1 if name.contains([';', '\t']) => "the columns must be separated by commas".to_owned(),
            _ => format!("there is no column {:?}", one_line(&name)),
        })?;
        if columns.contains(&column) {
            return Err(format!("the column {} is there twice", column.name()));
        }
        columns.push(column);
    }
    let required = [
        FileColumn::Account,
        FileColumn::Region,
        FileColumn::Image,
        FileColumn::Recipient,
        FileColumn::Reason,
    ];
    let is_default = |column| match column {
        FileColumn::Account => defaults.account.is_some(),
        FileColumn::Region => defaults.region.is_some(),
        _ => false,
    };
    let missing = |column: &FileColumn| !columns.contains(column) && !is_default(*column);
    match required.into_iter().find(missing) {
        None => Ok(columns),
        Some(missing) => Err(format!("the column {} is missing", missing.name())),
    }
}

impl FileColumn {
    fn of(name: &str) -> Option<Self> {
        let all = [
            Self::Account,
            Self::Region,
            Self::Image,
            Self::Recipient,
            Self::Reason,
            Self::Ticket,
            Self::Until,
        ];
        all.into_iter().find(|column| column.name() == name)
    }

    fn name(self) -> &'static str {
        NAMES[self as usize]
    }
}

/// The fields of a row.
struct Fields<'a> {
    line: u64,
    columns: &'a [FileColumn],
    record: &'a ByteRecord,
    faults: &'a mut Vec<FieldProblem>,
}

impl Fields<'_> {
    fn text(&mut self, column: FileColumn) -> Option<String> {
        let at = self.columns.iter().position(|it| *it == column);
        let bytes = at.and_then(|at| self.record.get(at)).unwrap_or_default();
        match str::from_utf8(bytes) {
            // The line ends of a text, as in the rest of the service.
            Ok(text) => Some(text.replace("\r\n", "\n")),
            Err(_) => {
                self.wrong(column, "must be UTF-8");
                None
            }
        }
    }

    /// The value; `None` if it is wrong.
    fn parsed<T: FromStr<Err = Invalid>>(&mut self, column: FileColumn) -> Option<T> {
        let text = self.text(column)?;
        match text.parse() {
            Ok(value) => Some(value),
            Err(invalid) => {
                self.wrong(column, &format!("{invalid}{}", damage(column, &text)));
                None
            }
        }
    }

    /// The value, or the default for an empty one; `None` if it is wrong.
    fn parsed_or<T: FromStr<Err = Invalid> + Clone>(&mut self, column: FileColumn, default: Option<&T>) -> Option<T> {
        match default.filter(|_| self.is_empty(column)) {
            Some(default) => Some(default.clone()),
            None => self.parsed(column),
        }
    }

    fn is_empty(&self, column: FileColumn) -> bool {
        let at = self.columns.iter().position(|it| *it == column);
        at.and_then(|at| self.record.get(at)).unwrap_or_default().is_empty()
    }

    /// The value, which may be empty; `None` if it is wrong.
    fn optional<T: FromStr<Err = Invalid>>(&mut self, column: FileColumn) -> Option<Option<T>> {
        match self.text(column)?.is_empty() {
            true => Some(None),
            false => self.parsed(column).map(Some),
        }
    }

    /// The end, or the default for an empty one; the outer `None` if it is wrong.
    fn end(&mut self, default: Option<&GrantEnd>) -> Option<Option<GrantEnd>> {
        if self.is_empty(FileColumn::Until) {
            return Some(default.cloned());
        }
        let text = self.text(FileColumn::Until)?;
        match UntilArg::parse(&text) {
            Ok(until) => Some(Some(until.end)),
            Err(rule) => {
                self.wrong(FileColumn::Until, &rule);
                None
            }
        }
    }

    fn wrong(&mut self, column: FileColumn, rule: &str) {
        let place = format!("line {}, {}", self.line, column.name());
        self.faults.push(fault(place, rule.to_owned()));
    }
}

/// What a spreadsheet does to an account id that it takes for a number.
fn damage(column: FileColumn, text: &str) -> &'static str {
    if !matches!(column, FileColumn::Account | FileColumn::Recipient) {
        return "";
    }
    let is_number = |more: &[char]| text.chars().all(|c| c.is_ascii_digit() || more.contains(&c));
    match text.len() {
        1..12 if is_number(&[]) => " (leading zero lost: write all 12 digits, and give the column the format Text)",
        1..24 if text.contains(['E', 'e']) && is_number(&['E', 'e', '+', '.', ',']) => {
            " (a rounded number: write all 12 digits, and give the column the format Text)"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "account,region,image,recipient,reason,ticket\n";
    const ROW: &str = "012345678901,eu-central-1,wsi-0123456789,000011112222,build 7,T-1\n";

    fn parse(text: impl AsRef<[u8]>) -> Parser {
        let mut parser = Parser::default();
        parser.parse(text.as_ref()).unwrap();
        parser
    }

    fn faults(parser: &Parser) -> Vec<String> {
        let faults = parser.faults.iter();
        faults
            .map(|fault| format!("{}: {}", fault.field, fault.description))
            .collect()
    }

    fn refused(text: &str) -> String {
        Parser::default().parse(text.as_bytes()).unwrap_err()
    }

    #[test]
    fn leading_zeros_are_kept() {
        let grants = parse(format!("{HEAD}{ROW}")).grants;
        let [grant] = &grants[..] else { panic!("{grants:?}") };
        assert_eq!(
            grant.share.to_string(),
            "012345678901/eu-central-1/wsi-0123456789 with 000011112222"
        );
        assert_eq!((grant.reason.as_str(), grant.ticket.as_str()), ("build 7", "T-1"));
    }

    #[test]
    fn what_spreadsheets_write_is_read() {
        let text = concat!(
            "\u{feff}ticket,reason,account,region,image,recipient\r\n",
            ",\"a, \"\"quoted\"\"\r\nreason\",012345678901,eu-central-1,wsi-0123456789,000011112222\r\n",
            "\r\n",
            ",,,,,\r\n",
            "T,b,012345678901,eu-central-1,wsi-0123456789,000011112223",
        );
        let parsed = parse(text);
        assert_eq!(faults(&parsed), [""; 0]);
        let reasons: Vec<_> = parsed.grants.iter().map(|grant| grant.reason.as_str()).collect();
        assert_eq!(reasons, ["a, \"quoted\"\nreason", "b"]);
    }

    #[test]
    fn every_wrong_value_is_reported_with_its_line_column_rule_and_shape() {
        let rows = [
            "12345678901,eu-central-1,wsi-0123456789,1.11122E+11,r,",
            "012345678901,EU,wsi-1,012345678901,,",
            "012345678901,eu-central-1,wsi-0123456789,000011112222,r",
            "012345678901,eu-central-1,wsi-0123456789,000011112222,r,t",
            "012345678901,eu-central-1,wsi-0123456789,000011112222,another,t",
        ];
        let parsed = parse(format!("{HEAD}{}", rows.join("\n")));
        let expected = [
            "line 2, account: must be an AWS account: twelve digits (^[0-9]{12}$); got 11 characters (digits) (leading zero lost",
            "line 2, recipient: must be an AWS account: twelve digits (^[0-9]{12}$); got 11 characters (digits, upper-case letters, \
             punctuation) (a rounded number",
            "line 3, region: must be an AWS Region",
            "line 3, image: must be a WorkSpaces image",
            "line 3, reason: must be a reason",
            "line 3, recipient: must not be the account that owns the image",
            "line 4: must have 6 fields, as the head; has 5",
            "line 6: has the share of line 5 again, with another reason, ticket or end",
        ];
        let found = faults(&parsed);
        assert_eq!(found.len(), expected.len(), "{found:#?}");
        for (error, expected) in found.iter().zip(expected) {
            assert!(error.starts_with(expected), "{error}\n{expected}");
        }
        assert_eq!((parsed.rows, parsed.wrong_rows), (5, 4));
    }

    #[test]
    fn a_row_that_repeats_another_counts_once() {
        let parsed = parse(format!("{HEAD}{ROW}{ROW}{ROW}"));
        assert_eq!((parsed.grants.len(), parsed.repeated, parsed.rows), (1, 2, 3));
    }

    #[test]
    fn a_wrong_head_is_named() {
        for (text, wrong) in [
            ("", "the file is empty"),
            ("\u{feff}\r\n\r\n", "the file is empty"),
            (HEAD, "the file has a head and no rows"),
            (ROW, "line 1: there is no column \"012345678901\""),
            (
                "account;region;image;recipient;reason\n",
                "line 1: the columns must be separated by commas",
            ),
            (
                "account,region,image,recipient\n",
                "line 1: the column reason is missing",
            ),
            ("account,account\n", "line 1: the column account is there twice"),
        ] {
            assert_eq!(refused(text), wrong, "{text:?}");
        }
    }

    #[test]
    fn text_that_is_not_utf_8_is_reported() {
        let mut bytes = HEAD.as_bytes().to_vec();
        bytes.extend_from_slice(b"012345678901,eu-central-1,wsi-0123456789,000011112222,\xff,\n");
        assert_eq!(faults(&parse(bytes)), ["line 2, reason: must be UTF-8"]);
    }

    #[test]
    fn a_hundred_thousand_rows_are_read() {
        let mut text = HEAD.to_owned();
        for number in 0..100_000 {
            text.push_str(&format!("012345678901,eu-central-1,wsi-0123456789,5{number:011},r,\n"));
        }
        assert_eq!(parse(text).grants.len(), 100_000);
    }
}
