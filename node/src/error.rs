//! The edge form of every failure: a stable code, what was attempted, and what to do next.
//!
//! The code decides exit status and default hint; the message says what was attempted on which object
//! and never repeats its source, whose chain is printed once, at the edge. Neither carries a resident's
//! words, names or numbers.

use std::fmt;

/// Result of everything in this package.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of failure it is, which decides the exit status (CONTRACT).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It failed, or a check found something bad: 2.
    Failed,
    /// Not finished, nothing lost: 3.
    Partial,
    /// Called wrongly: 4.
    Usage,
    /// The data directory belongs to no network yet: 5.
    NotEnrolled,
    /// Refused by policy: 6.
    Refused,
    /// Someone else is using it: 7.
    Busy,
}

impl Kind {
    /// The process's exit status.
    #[must_use]
    pub const fn exit_code(self) -> u8 {
        match self {
            Self::Failed => 2,
            Self::Partial => 3,
            Self::Usage => 4,
            Self::NotEnrolled => 5,
            Self::Refused => 6,
            Self::Busy => 7,
        }
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $kind:ident, $hint:literal;)*) => {
        /// A stable code. Numbers are never used again for something else.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Code { $($(#[$doc])* $name),* }

        impl Code {
            /// All codes.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// The code as printed, such as `LX-1001`.
            #[must_use]
            pub const fn text(self) -> &'static str {
                match self { $(Self::$name => $text),* }
            }

            /// What kind of failure it is.
            #[must_use]
            pub const fn kind(self) -> Kind {
                match self { $(Self::$name => Kind::$kind),* }
            }

            /// What to do next.
            #[must_use]
            pub const fn hint(self) -> &'static str {
                match self { $(Self::$name => $hint),* }
            }
        }
    };
}

codes! {
    /// The operating system refused a file operation.
    File = "LX-1001", Failed, "check that the path exists, has space, and belongs to you";
    /// The database refused an operation.
    Store = "LX-1002", Failed, "run `lianxin verify`; if it finds something bad, restore a backup";
    /// The disk is full.
    DiskFull = "LX-1003", Failed, "free some space and try again; nothing that was acknowledged is lost";
    /// Another process uses the data directory and does not answer on its socket.
    InUse = "LX-1004", Busy, "wait for the other lianxin process to end, or stop it";
    /// The database was written by a newer version.
    StoreNewer = "LX-1005", Failed, "install the newer version of lianxin again; the data is untouched";
    /// The key does not open the database.
    StoreKey = "LX-1006", Failed, "put the store.key that belongs to this data directory back beside it; if it is the one, the file's first page is damaged: run `lianxin store refill`";
    /// The database file is damaged.
    StoreCorrupt = "LX-1007", Failed, "stop lianxin and run `lianxin store refill`: it sets the store aside whole and fills a new one";
    /// The data directory is already part of a network.
    AlreadySetUp = "LX-1008", Usage, "choose another directory with --data";
    /// What was shown to others is noted in a file that cannot be read.
    Offered = "LX-1009", Failed, "look after the disk and start again; if the file is lost for good, remove it: the device then goes on in new logs";
    /// A store that was put back.
    StoreBehind = "LX-1010", Partial, "go on working and leave the line connected: what the hub has of it comes back by itself";
    /// The database was removed or replaced while it was in use.
    StoreGone = "LX-1011", Failed, "nothing was acknowledged since; put the database back, or rename the rescued copy to lianxin.db while nothing runs";
    /// A data directory of somebody else, or one that is open to others.
    Directory = "LX-1021", Refused, "run it as the user that owns the directory, or close it with `chmod 700`";
    /// Entries that could not be read were taken out of their logs.
    EntriesDamaged = "LX-1012", Partial, "leave the line connected: what the hub or another device has comes back by itself; `lianxin verify` says what is missing, and `lianxin store refill` sets aside what never comes";
    /// Logs of which the database cannot read a page.
    LogsUnreadable = "LX-1013", Failed, "look after the disk, stop lianxin and run `lianxin store refill`: it sets the store aside whole and fills a new one";
    /// Records that could not be read when they were to be merged.
    RecordsUnread = "LX-1014", Partial, "run `lianxin verify`, leave the line connected, and run `lianxin reproject`; if they stay, stop lianxin and run `lianxin store refill`";
    /// The store does not say who its device is.
    IdentityLost = "LX-1015", Failed, "nothing was moved; keep the directory as it is, choose another with --data, and `lianxin join` it with a replacement invite (a hub: restore a backup)";
    /// A store is being filled anew.
    RefillBegun = "LX-1016", Failed, "run `lianxin store refill` again: it goes on where it was killed";
    /// No network in this data directory.
    NotEnrolled = "LX-2001", NotEnrolled, "run `lianxin` and follow its pages, or `lianxin hub init` or `lianxin join`; or name the right --data";
    /// Not an invite code.
    InviteCode = "LX-2002", Usage, "compare it with the card; nothing was sent";
    /// The hub does not accept this invite.
    InviteRefused = "LX-2003", Refused, "ask the hub for a new invite; each can be used once and for a limited time";
    /// The other end does not know the invite's secret.
    HubUnproven = "LX-2004", Refused, "it may be an impostor; nothing was sent. Check the address with the hub";
    /// No hub answered.
    HubUnreachable = "LX-2005", Partial, "check the address and the network, then run the same command again";
    /// Only the hub can do this, or an operator's PC can ask it to.
    HubOnly = "LX-2006", Refused, "run it on the hub, or on an operator's PC";
    /// No such site.
    NoSite = "LX-2007", Usage, "see the codes with `lianxin status` on the hub, or make it with `lianxin site create`";
    /// A code that is taken or malformed.
    BadCode = "LX-2008", Usage, "choose another code: two letters and a digit, without I and O";
    /// Not a file that was expected.
    BadFile = "LX-2009", Usage, "check the path; the file must be the one that `--out` wrote";
    /// The hub judges no invites at present, because too many were wrong.
    EnrolPaused = "LX-2010", Partial, "wait as long as is said; a new invite of the hub or of an operator ends the pause";
    /// Not the recovery card of this network.
    Card = "LX-2011", Usage, "give the card that `hub init` made for this network";
    /// A hub that came back has heard no device yet.
    NotHeard = "LX-2012", Partial, "start `lianxin run`, wait until a device has connected, and repeat; with --alone if there is none left";
    /// A hub that came back gives no orders yet.
    NotResumed = "LX-2013", Refused, "run `lianxin hub resume --card FILE` with the recovery card once a device has connected; everything else goes on";
    /// Two hubs of one network.
    TwoHubs = "LX-2014", Failed, "stop the one that is a copy, then run `lianxin hub resume --card FILE` on the other";
    /// Orders that lead nowhere yet.
    OrdersMissing = "LX-2016", Partial, "leave the line connected: the hub or another device brings what is missing; if it stays, tell the hub";
    /// No invite under this name.
    NoInvite = "LX-2017", Usage, "`lianxin invite list` names them";
    /// An invite that was used.
    InviteUsed = "LX-2018", Refused, "nothing was changed: a device that may not go on is revoked, not its invite";
    /// A device whose store was put back or copied, and that has no other code yet.
    AwaitsLetter = "LX-2019", Partial, "leave the line connected: the hub gives another code by itself; where numbers are in doubt, compare the slips";
    /// A device of which a log forked.
    Forked = "LX-2023", Partial, "see whether a copy of its data runs on another computer and stop it; what was received stays, the rest is written again by itself";
    /// Clocks that are too far apart.
    Clock = "LX-2022", Partial, "set the clock, best by the network's time server; nothing is lost, and the order of records does not go by it";
    /// A device that begins its logs anew again and again.
    DeviceAnew = "LX-2015", Partial, "look at the computer: a disk that is put back at each start loses what was not sent";
    /// No such record.
    NoRecord = "LX-3001", Usage, "`lianxin record list` shows what this device has";
    /// Some fields or rows were refused.
    FieldsRefused = "LX-3002", Partial, "correct the fields that are named and send those rows again";
    /// The input is not JSON records.
    BadInput = "LX-3003", Usage, "give one JSON object, an array of objects, or one object a line";
    /// No such kind of record.
    NoKind = "LX-3004", Usage, "the kinds are named in the message";
    /// The step does not exist or may not be taken by this device now.
    StepRefused = "LX-3005", Refused, "`lianxin record show` names the status; see the steps that lead on from it";
    /// This device may not write there.
    NotPermitted = "LX-3006", Refused, "ask the hub which rights this device has";
    /// What a record holds is kept from this account.
    NotShown = "LX-3023", Refused, "ask the account that registered it, or the sub-district";
    /// A file that was sent is none that can be read here.
    BadPaper = "LX-3025", Usage, "send a .docx or a .txt file, or paste the text";
    /// A number that no form on paper bears.
    NoBlank = "LX-3026", Usage, "type the number at the top right of the form on paper once more, with its two check digits";
    /// Nobody said why they look at what is kept.
    NoReason = "LX-3024", Usage, "say why: `record show ID --reveal REASON`, `record list --person NAME --reason REASON`";
    /// No report of this number.
    NoReport = "LX-3030", Usage, "`lianxin report --help` lists them";
    /// A period or a cut-off that is none.
    BadPeriod = "LX-3031", Usage, "give days as 2026-01-01, the first before the last";
    /// A table that cannot be read.
    BadTable = "LX-3033", Usage, "save it as .xlsx, .csv or .docx and name that";
    /// No form of the office has this name, or it has not come whole.
    NoForm = "LX-3034", Usage, "`lianxin form list` lists them";
    /// A form of the office is in use under this name.
    SameForm = "LX-3035", Usage, "`lianxin form list` lists them";
    /// The file of a kind of record that cannot be published.
    BadKind = "LX-3036", Usage, "correct what is named; a newer form adds fields, choices and words, and takes nothing away";
    /// A file that is no proof of a report.
    BadProof = "LX-3032", Usage, "make it with `lianxin report ID --from D --to D --proof FILE`";
    /// An edit that changes nothing, or that the hub has been asked for already.
    NothingToDo = "LX-3007", Usage, "it is so already, or the hub will answer; see `lianxin record show`";
    /// A submission id that came before with something else.
    OtherContent = "LX-3022", Usage, "send it under another id, or under none; what was sent first stands";
    /// Too much for one record.
    TooLarge = "LX-3008", Usage, "shorten the text or split it over two records";
    /// Changes that a record builds on have not arrived.
    RecordWaiting = "LX-3010", Partial, "run `lianxin sync` and try again";
    /// A record that another device has made so that nothing can be added to it.
    RecordUnsound = "LX-3011", Failed, "show it to the hub; the other records are not concerned";
    /// A save that is larger than what this device may still write into the record.
    RecordFull = "LX-3012", Refused, "save it in smaller pieces";
    /// Nothing is held back under this name.
    NotHeld = "LX-3016", Usage, "`lianxin quarantine list` shows what is held back";
    /// What is held back and stands elsewhere already.
    Superseded = "LX-3020", Refused, "nothing has to be done: `lianxin record show` names the record that stands in its place";
    /// What is held back and cannot be let count.
    NotAdopted = "LX-3015", Refused, "look at it with `lianxin quarantine show`, and record anew what is worth keeping";
    /// Words that stay as they were registered.
    Fixed = "LX-3014", Usage, "nothing was changed: add to the words with the step `supplement`";
    /// Several records have one number: a device has copied it.
    SameNumber = "LX-3013", Usage, "name the record by its id, and show both to the hub";
    /// The connection broke.
    Connection = "LX-4001", Partial, "nothing is lost; it is tried again by itself, or run `lianxin sync`";
    /// The peer broke the protocol.
    Protocol = "LX-4002", Failed, "both ends must run versions that go together; see `lianxin status`";
    /// The address cannot be used.
    Address = "LX-4003", Usage, "give HOST:PORT of an address that this computer has and that is free";
    /// The hub takes no more of this device today.
    Quota = "LX-4004", Partial, "it is kept here and sent again with the next record or connection of another day; tell the hub, which may allow more";
    /// A check found something bad.
    Unsound = "LX-5001", Failed, "keep the file or directory as it is and show the report to the hub";
    /// Not an archive, or one of a newer version.
    Archive = "LX-5002", Failed, "give the file that `lianxin export --format archive` wrote, or install the newer version";
    /// A setting that is unknown or cannot be used.
    Config = "LX-6001", Usage, "correct what is named, then `lianxin config validate`; lianxin.example.toml explains every key";
    /// Wrongly called.
    Usage = "LX-6002", Usage, "see `lianxin --help`";
    /// An account name that is taken.
    AccountTaken = "LX-7001", Refused, "choose another name, or log in with that account";
    /// A password that is too easily found.
    WeakPassword = "LX-7002", Usage, "choose a longer one: a sentence is easy to remember";
    /// A password that many have, and that is tried first.
    CommonPassword = "LX-7010", Usage, "choose a sentence of your own: no name, no birthday, no phone number, no keys in a row";
    /// Wrong name or password, or too many attempts.
    LoginRefused = "LX-7003", Refused, "try again, or run `lianxin open` on this computer for a link that logs in";
    /// A page that does not exist.
    NoPage = "LX-7004", Usage, "go back to the first page";
    /// Pages have no address yet.
    NoPages = "LX-7005", Usage, "start the pages with `lianxin run`, then ask again";
    /// The account has none of the roles that this is for.
    RoleRefused = "LX-7006", Refused, "act as an account that has the role: `lianxin account list` shows them, and `lianxin account roles` gives them";
    /// A fault of this program.
    Internal = "LX-9001", Failed, "please report this with the output of `lianxin status`";
    /// The program ends and takes no more work.
    Stopping = "LX-9002", Busy, "start lianxin again, and then repeat the command";
}

/// A failure, with the chain of what caused it.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Error {
    /// A failure without a cause below it.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            source: None,
        }
    }

    /// A failure with its cause.
    #[must_use]
    pub fn because(
        code: Code,
        message: impl Into<String>,
        source: impl Into<Box<dyn std::error::Error + Send + Sync>>,
    ) -> Self {
        Self {
            code,
            message: message.into(),
            source: Some(source.into()),
        }
    }

    /// The stable code.
    #[must_use]
    pub const fn code(&self) -> Code {
        self.code
    }

    /// Whether this was refused before anything was written, so that other work in the same
    /// transaction is not concerned.
    #[must_use]
    pub const fn leaves_nothing(&self) -> bool {
        !matches!(
            self.code,
            Code::File
                | Code::Store
                | Code::DiskFull
                | Code::InUse
                | Code::StoreKey
                | Code::StoreCorrupt
                | Code::Offered
                | Code::StoreGone
                | Code::Internal
        )
    }

    /// Whether the database could not read one of its pages: whoever tries on the same connection reads nothing more.
    #[must_use]
    pub fn is_of_a_page(&self) -> bool {
        let source = self.source.as_deref();
        let source = source.and_then(|source| source.downcast_ref::<rusqlite::Error>());
        self.code == Code::StoreCorrupt && source.is_some()
    }

    /// The message and the chain of causes, on one line.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.message.clone();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }
}

impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode as Sqlite;
        let (code, message) = match error.sqlite_error_code() {
            Some(Sqlite::DiskFull) => (Code::DiskFull, "the store cannot grow"),
            // Whether the key fits is asked once, when the store is opened; after that it is a page that is damaged.
            Some(Sqlite::NotADatabase | Sqlite::DatabaseCorrupt) => {
                (Code::StoreCorrupt, "the database is damaged")
            }
            Some(Sqlite::DatabaseBusy) => (Code::InUse, "the store is in use"),
            _ => (Code::Store, "the store refused an operation"),
        };
        Self::because(code, message, error)
    }
}

/// What whoever still waits for the store is told when the program ends.
pub(crate) fn stopping() -> Error {
    Error::new(Code::Stopping, "the program is stopping")
}

/// Names the file on which an operation failed.
pub(crate) fn file(path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |error| {
        let full = error.kind() == std::io::ErrorKind::StorageFull;
        let code = if full { Code::DiskFull } else { Code::File };
        Error::because(code, format!("cannot use {}", path.display()), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn codes_are_distinct_and_every_one_says_what_to_do() {
        let texts: BTreeSet<_> = Code::ALL.iter().map(|code| code.text()).collect();
        assert_eq!(texts.len(), Code::ALL.len());
        assert!(Code::ALL.iter().all(|code| !code.hint().is_empty()));
    }
}
