//! The command line: arguments in, replies printed. It decides nothing that a command does not.

mod account;
mod add;
mod archive;
mod config;
mod conflict;
mod demo;
mod export;
mod first;
mod form;
mod import;
mod join;
mod kinds;
mod manual;
mod print;
mod progress;
mod report;
mod service;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use lianxin_protocol::text;
use serde_json::{Value, json};

use crate::command::{
    AddressChange, Command, Listing, Query, Secret, Write, kind_files, known_kind,
};
use crate::config::{Config, Overrides, own_address};
use crate::error::{Code, Error, Kind, Result};
use crate::logging;
use crate::papers;
use crate::published;
use crate::refill;
use crate::reply::Reply;
use crate::setup::{self, HubInit};
use crate::socket::{self, Request};
use crate::store::{self, Store};
use crate::writer::Writer;

/// Deputies' stations and collection points: records that reach the hub, and prove it.
#[derive(Debug, Parser)]
#[command(
    name = "lianxin",
    version,
    about = "连心: records that reach the hub, and prove it",
    after_help = "Without a command it opens its pages in the browser: those of this computer, starting it if it does not run,
or, the first time, those that make or join a network.

Examples:
  lianxin hub init --name 示例街 --code SLJD --recovery-out card.json
  lianxin join 7KQ4-M2XP-9TRB-4GHD-K --hub hub.example.local:7443
  lianxin record template opinion > opinion.json
  lianxin record add --kind opinion --file opinion.json
  lianxin sync; lianxin status

Times in text are those of Beijing; in JSON they are UTC. Exit: 0 ok, 1 attention, 2 failed, 3 not finished and nothing lost,
4 usage, 5 not enrolled, 6 refused, 7 busy."
)]
struct Cli {
    /// Data directory (default: LIANXIN_DATA, or lianxin in the user's data directory)
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Print one JSON object instead of text
    #[arg(long, global = true)]
    json: bool,
    /// Account that acts (default: the device's first)
    #[arg(long = "as", global = true, value_name = "NAME")]
    account: Option<String>,
    #[command(subcommand)]
    verb: Option<Verb>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    /// Make or join a network in the browser, where there is none yet, and run the node
    #[command(after_help = "Example:
  lianxin setup")]
    Setup,
    /// Make a network and its hub
    #[command(subcommand)]
    Hub(Hub),
    /// Sites of the network (hub; an operator's PC asks it)
    #[command(subcommand)]
    Site(Site),
    /// Invites for new devices (hub; an operator's PC asks it)
    #[command(subcommand)]
    Invite(InviteVerb),
    /// Where this device looks for its hub
    #[command(subcommand)]
    Peer(Peer),
    /// Join a network with an invite
    #[command(after_help = "Examples:
  lianxin join 7KQ4-M2XP-9TRB-4GHD-K --hub hub.example.local:7443
  lianxin join --file invite.json")]
    Join(Join),
    /// Run the node until it is told to stop
    #[command(after_help = "Example:
  lianxin run --listen 0.0.0.0:7443")]
    Run(Run),
    /// A link that logs this computer's browser in, once
    Open,
    /// Records
    #[command(subcommand)]
    Record(Record),
    /// What has happened elsewhere to what people here wrote: answers, refusals, values that were not kept
    Inbox {
        /// What was read already
        #[arg(long)]
        seen: bool,
        /// Rows at most (default 50, at most 500)
        #[arg(long)]
        limit: Option<usize>,
    },
    /// What operators' PCs ask of the hub
    #[command(subcommand)]
    Request(RequestVerb),
    /// Who works at this device, and in which roles
    #[command(subcommand)]
    Account(AccountVerb),
    /// Fields that two devices changed at once
    #[command(subcommand)]
    Conflict(Conflict),
    /// What is kept and does not count
    #[command(subcommand)]
    Quarantine(Quarantine),
    /// One session with the hub, now
    Sync {
        /// Only this address
        #[arg(long, value_name = "HOST:PORT")]
        peer: Option<String>,
    },
    /// How this device stands
    Status,
    /// The configuration
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Digests by which two nodes are compared
    Digest,
    /// Check every chain, signature and receipt of this store, or of an archive, recount the proof of a report, or say whether an exported
    /// workbook is as it was
    Verify {
        /// An archive, a workbook, or a proof; no data directory is needed then, and a proof is compared with one that is named
        file: Option<PathBuf>,
        /// The network that the archive must be of, in 64 digits
        #[arg(long, value_name = "ID", requires = "file")]
        network: Option<String>,
    },
    /// A report of a period
    #[command(after_help = "Examples:
  lianxin report R1 --from 2026-01-01 --to 2026-12-31
  lianxin report figures --from 2026-01-01 --to 2026-12-31 --proof figures.proof
  lianxin report R7 --format csv --out comments.csv")]
    Report(Report),
    /// Rebuild every list from the signed logs
    Reproject,
    /// The store of this device
    #[command(subcommand)]
    Store(StoreVerb),
    /// Write records to a file or directory
    #[command(after_help = "Examples:
  lianxin export --format archive --out em1.archive
  lianxin export --format xlsx --kind reception --out receptions.xlsx
  lianxin export --format csv --from 2026-01-01 --to 2026-12-31 --out ledgers")]
    Export {
        /// json: one file; csv, xlsx: the records of one kind as a table, or without a kind a directory with one table a kind;
        /// open311: opinions for a city platform, without persons (JSON); automerge: a directory with one document a record;
        /// archive: the signed logs in one file that anyone can check
        #[arg(long, value_parser = ["json", "csv", "xlsx", "open311", "automerge", "archive"])]
        format: String,
        /// Only records of this kind
        #[arg(long, value_name = "KIND")]
        kind: Option<String>,
        /// Only what was recorded on this day or later
        #[arg(long, value_name = "DAY")]
        from: Option<String>,
        /// Only what was recorded on this day or earlier
        #[arg(long, value_name = "DAY")]
        to: Option<String>,
        /// How csv is written
        #[arg(long, default_value = "utf-8", value_parser = ["utf-8", "gb18030"])]
        encoding: String,
        /// Where to
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
    /// Record the rows of a table: xlsx or csv in UTF-8, GB18030 or UTF-16
    #[command(after_help = "Examples:
  lianxin import deputies.xlsx --kind deputy --dry-run
  lianxin import orders.csv --kind opinion --map 工单号=external_ref --system 12345")]
    Import(Import),
    /// The office's own ledgers and letters, filled from the records
    #[command(subcommand)]
    Form(FormVerb),
    /// Show the whole story with a hub and two stations in this process
    Demo {
        /// Only check it: exit 0 if every step held
        #[arg(long)]
        check: bool,
        /// Keep the demo's data here instead of a temporary directory
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        /// Answer under this host name as well, for a forwarded port
        #[arg(long, value_name = "HOST")]
        allow_host: Vec<String>,
        /// Where the demonstration's page is
        #[arg(long, value_name = "HOST:PORT")]
        web: Option<String>,
    },
    /// Print completions for a shell
    #[command(after_help = "Example:
  lianxin completions bash > ~/.local/share/bash-completion/completions/lianxin")]
    Completions {
        /// bash, elvish, fish, powershell or zsh
        shell: clap_complete::Shell,
    },
    /// Print the page of the manual, or write one for each command
    #[command(after_help = "Example:
  lianxin man --out ~/.local/share/man/man1")]
    Man {
        /// Directory to write them to
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum FormVerb {
    /// Keep an empty ledger (xlsx) or a letter (docx) with named places, for every device (hub, operator)
    #[command(after_help = "Examples:
  lianxin form add 来访台账.xlsx --kind opinion --name 群众来访登记台账 --dry-run
  lianxin form add 来访台账.xlsx --kind opinion --name 群众来访登记台账 --map 承办科室=lead
  lianxin form add 转办单.docx --kind assignment --name 转办单

A letter has places such as {{编号}} or 【答复内容】, bookmarks, or content controls with tags. Besides the fields that
`lianxin record template KIND` has there are #number #status #site #recorded #answer #answered #ordinal #today,
and :yuan behind a field in fen.")]
    Add {
        /// The file, at most 512 KiB
        file: PathBuf,
        /// What the office calls it
        #[arg(long)]
        name: String,
        /// Code of the kind of the records that fill it
        #[arg(long, value_name = "KIND")]
        kind: String,
        /// Which sheet of a workbook (default: the first with a head)
        #[arg(long, value_name = "NAME")]
        sheet: Option<String>,
        /// A column or place that is not found by its name: NAME=FIELD, or NAME= to leave it as it is; may be given several times
        #[arg(long = "map", value_name = "NAME=FIELD")]
        maps: Vec<String>,
        /// Only say what each column is taken for
        #[arg(long)]
        dry_run: bool,
    },
    /// List those in use
    List,
    /// Fill one
    #[command(after_help = "Examples:
  lianxin form fill 群众来访登记台账 --from 2026-11-01 --to 2026-11-30 --out 11月.xlsx
  lianxin form fill 代表接待台账 --from 2026-01-01 --to 2026-12-31 --status confirmed --out 2026.xlsx
  lianxin form fill 转办单 --record 0190b5c2-0000-7000-8000-000000000001 --out 转办单.docx")]
    Fill {
        /// Its name or number
        name: String,
        /// Of one record, by number or id: a letter always is
        #[arg(long, value_name = "ID")]
        record: Option<String>,
        /// Only what is of this day or later
        #[arg(long, value_name = "DAY", conflicts_with = "record")]
        from: Option<String>,
        /// Only what is of this day or earlier
        #[arg(long, value_name = "DAY", conflicts_with = "record")]
        to: Option<String>,
        /// Of which day it is: the one on which it counts in reports, because it happened or was held then, or the one on which it was
        /// recorded
        #[arg(long, default_value = "counts", value_parser = ["counts", "recorded"])]
        by: String,
        /// Only what stands at this status, such as confirmed; may be given several times
        #[arg(long, value_name = "STATUS", conflicts_with = "record")]
        status: Vec<String>,
        /// Where to
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// What `import` takes.
#[derive(Debug, clap::Args)]
struct Import {
    /// The table
    file: PathBuf,
    /// Code of the kind that its rows become, such as deputy, community, reception or opinion
    #[arg(long, value_name = "KIND")]
    kind: String,
    /// Take this step on the records of that kind that the rows name by their numbers, such as feed_back for a table of what was
    /// adopted (--kind legis_item)
    #[arg(long, value_name = "STEP", conflicts_with = "system")]
    step: Option<String>,
    /// Only say what would become of each row
    #[arg(long)]
    dry_run: bool,
    /// A column that is not found by its name: NAME=FIELD; may be given several times
    #[arg(long = "map", value_name = "NAME=FIELD")]
    maps: Vec<String>,
    /// Which sheet of a workbook (default: the first with rows)
    #[arg(long, value_name = "NAME")]
    sheet: Option<String>,
    /// Where outside numbers are from, such as 12345
    #[arg(long, value_name = "SYSTEM", default_value = crate::ledger::NO_SYSTEM)]
    system: String,
    /// Write the rows that were refused here, with the reasons beside them (xlsx)
    #[arg(long, value_name = "FILE")]
    errors: Option<PathBuf>,
}

/// What `report` takes.
#[derive(Debug, clap::Args)]
struct Report {
    /// R1 to R18, or figures
    id: String,
    /// First day (default: 1 January of this year)
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Last day (default: 31 December of this year)
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// Only records that had arrived by then, with what is known of them now: a day, whose end is meant, or a time with its offset
    #[arg(long, value_name = "TIME")]
    as_of: Option<String>,
    /// json and html are text; csv is UTF-8 with a byte order mark
    #[arg(long, value_parser = ["json", "csv", "xlsx", "html"])]
    format: Option<String>,
    /// Where to write that form (default: standard output)
    #[arg(long, value_name = "FILE", requires = "format")]
    out: Option<PathBuf>,
    /// Write the list of records behind each figure, which `lianxin verify FILE` recounts
    #[arg(long, value_name = "FILE")]
    proof: Option<PathBuf>,
    /// Of test data, and of nothing else
    #[arg(long, conflicts_with = "issue")]
    test_data: bool,
    /// The sheet of one deputy, by name or number (R10)
    #[arg(long, value_name = "DEPUTY", conflicts_with = "issue")]
    deputy: Option<String>,
    /// Issue it: it then prints for ever as it is now (hub, operator)
    #[arg(long, conflicts_with_all = ["format", "proof"])]
    issue: bool,
}

#[derive(Debug, Subcommand)]
enum Hub {
    /// Make a network, its hub and its store
    Init {
        /// Name of the sub-district
        #[arg(long)]
        name: String,
        /// Its four letters in numbers
        #[arg(long, value_name = "SLJD")]
        code: Option<String>,
        /// Where the hub will listen for sync
        #[arg(long, value_name = "HOST:PORT")]
        listen: Option<String>,
        /// Where its pages will be
        #[arg(long, value_name = "HOST:PORT")]
        web: Option<String>,
        /// File for the recovery card (default: printed once)
        #[arg(long, value_name = "FILE")]
        recovery_out: Option<PathBuf>,
    },
    /// Where the hub is found; stations learn it
    #[command(subcommand)]
    Address(AddressVerb),
    /// Give orders again on a hub that was restored, copied or moved
    Resume {
        /// File of the recovery card
        #[arg(long, value_name = "FILE")]
        card: PathBuf,
        /// There is no device left that could be heard first
        #[arg(long)]
        alone: bool,
    },
}

#[derive(Debug, Subcommand)]
enum AddressVerb {
    /// Show where
    List,
    /// Look for it here first
    Add {
        /// HOST:PORT
        address: String,
    },
    /// Not here any more
    Remove {
        /// HOST:PORT, as the list has it
        address: String,
    },
}

#[derive(Debug, Subcommand)]
enum Conflict {
    /// List the records that have some, what waits longest first
    List {
        /// Rows at most (default 50, at most 500)
        #[arg(long)]
        limit: Option<usize>,
        /// `next` of the page before
        #[arg(long)]
        after: Option<String>,
    },
    /// Show the values of each field
    Show {
        /// Record id or number
        id: String,
    },
    /// Choose for one field
    #[command(after_help = "Examples:
  lianxin conflict resolve YJ-SLJD-EM1A-2026-00001-97 --field urgency --take theirs --reason 电话核实
  printf '{\"text\": \"东门\"}' | lianxin conflict resolve YJ-SLJD-EM1A-2026-00001-97 --field place.text --take text --file -")]
    Resolve {
        /// Record id or number
        id: String,
        /// The field, as `conflict show` has it
        #[arg(long)]
        field: String,
        /// mine, theirs, both, text, or the place of a value from 1
        #[arg(long, value_name = "mine|theirs|both|text|1")]
        take: String,
        /// With --take text: a JSON object whose `text` is to stand there
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        /// Why the other value is not kept
        #[arg(long, default_value = "", hide_default_value = true)]
        reason: String,
    },
}

#[derive(Debug, Subcommand)]
enum Quarantine {
    /// List it
    List,
    /// Show the records of one line of the list
    Show {
        /// As the list has it
        id: String,
    },
    /// Let it count (hub)
    Adopt {
        /// As the list has it
        id: String,
    },
}

#[derive(Debug, Subcommand)]
enum AccountVerb {
    /// List them
    List,
    /// Add one; without a file its password is drawn and printed once
    #[command(after_help = "Examples:
  lianxin account add 测试文员
  lianxin account add 测试文员 C U --password-file -")]
    Add {
        /// Its name
        name: String,
        /// Letters of its roles, as of `account roles`; none: all that the device's grant permits
        roles: Vec<String>,
        /// File whose first line is the password, or - for standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give one another name
    #[command(after_help = "Example:
  lianxin account rename 测试文员 测试文员甲")]
    Rename {
        /// Its name
        name: String,
        /// Its name from now on
        to: String,
    },
    /// Give one another password, drawn and printed once without a file; its browsers are logged out
    #[command(after_help = "Example:
  lianxin account reset 测试文员")]
    Reset {
        /// Its name
        name: String,
        /// File whose first line is the password, or - for standard input
        #[arg(long, value_name = "FILE")]
        password_file: Option<PathBuf>,
    },
    /// Give one these roles and no others
    #[command(after_help = "Example:
  lianxin account roles 测试文员 C U")]
    Roles {
        /// Its name
        name: String,
        /// C clerk, D deputy, H sub-district, S supervisor, U unit, P privacy, R resident; none: all that the
        /// device's grant permits
        roles: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
enum StoreVerb {
    /// Set a damaged store aside whole, and fill a new one from what can be read of it and from the hub
    Refill,
}

#[derive(Debug, Subcommand)]
enum Peer {
    /// Look for the hub at this address first; a running lianxin does within a minute
    Add {
        /// HOST:PORT
        address: String,
    },
}

#[derive(Debug, Subcommand)]
enum Site {
    /// List sites
    List,
    /// Add a site
    #[command(after_help = "Example:
  lianxin site create --name 测试社区人大代表工作站 --kind workstation --code EM1")]
    Create {
        /// Its name
        #[arg(long)]
        name: String,
        /// workstation, collection_point or livestream
        #[arg(long, value_parser = ["workstation", "collection_point", "livestream"])]
        kind: String,
        /// Two letters and a digit for its numbers
        #[arg(long, value_name = "EM1")]
        code: Option<String>,
    },
}

#[derive(Debug, Subcommand)]
enum InviteVerb {
    /// Make a single-use invite
    #[command(after_help = "Examples:
  lianxin invite create --site EM1 --role station
  lianxin invite create --site HUB --role operator --expires 3d --out invite.json")]
    Create {
        /// The site's code, or HUB for an operator's PC
        #[arg(long)]
        site: String,
        /// station, laptop, operator, courier or reader
        #[arg(long, value_parser = ["station", "laptop", "operator", "courier", "reader"])]
        role: String,
        /// How long it can be used: hours or days, 14d at most
        #[arg(long, default_value = "72h", value_name = "72h|3d")]
        expires: String,
        /// Write the file form here as well
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
    },
    /// List invites and what became of them
    List,
    /// Take an invite back that nobody has used (hub)
    Revoke {
        /// Its id or device code, as the list has it
        id: String,
    },
    /// Answer the request of a device that has no line to the hub (hub only)
    Admit {
        /// The request that `join --request-out` wrote
        #[arg(value_name = "FILE")]
        request: PathBuf,
        /// Where the answer goes
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

#[derive(Debug, Args)]
struct Join {
    /// The code on the card, or what its QR code says
    #[arg(required_unless_present_any = ["file", "request_out", "grant"], conflicts_with = "file")]
    invite: Option<String>,
    /// The invite's file
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Where the hub listens
    #[arg(long, value_name = "HOST:PORT")]
    hub: Option<String>,
    /// Without a line: write the request that the hub answers with `invite admit`
    #[arg(long, value_name = "FILE")]
    request_out: Option<PathBuf>,
    /// Take the hub's answer to that request
    #[arg(long, value_name = "FILE", conflicts_with_all = ["invite", "file", "hub", "request_out"])]
    grant: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct Run {
    /// Where to listen for sync
    #[arg(long, value_name = "HOST:PORT")]
    listen: Option<String>,
    /// Where the pages are: a loopback address
    #[arg(long, value_name = "HOST:PORT")]
    web: Option<String>,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Show each value and where it comes from
    Show,
    /// Check the configuration, or one file
    Validate {
        /// This file instead of all that is in force
        file: Option<PathBuf>,
    },
}

#[derive(Debug, Subcommand)]
enum Record {
    /// The kinds of record that there are
    Kinds,
    /// A JSON object with every field of a kind, to be filled in; with --json what each field takes
    #[command(after_help = "Example:
  lianxin record template opinion > opinion.json")]
    Template {
        /// Kind of record, such as opinion
        kind: String,
    },
    /// Names of deputies, units and communities that were typed and are in no register
    #[command(after_help = "Example:
  lianxin record names
  echo '{\"aliases\": {\"add\": [\"张三\"]}}' | lianxin record set ID --file -

ID is the record of the register whose name it is. It becomes another name of that one; no record is changed.")]
    Names {
        /// Rows at most (default 50, at most 500)
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Matters that are likely one, brought twice, with why; merge what is one
    #[command(after_help = "Example:
  lianxin record alike
  echo '{\"merged_into\": \"YJ-SLJD-EM1A-2026-00001-97\"}' | lianxin record act YJ-SLJD-EM1A-2026-00002-94 merge --file -

`record act … unmerge` takes it apart again; numbers and slips of both stay valid.")]
    Alike {
        /// Groups at most (default 50, at most 500)
        #[arg(long)]
        limit: Option<usize>,
    },
    /// Take the text of a draft law apart into articles
    #[command(after_help = "Examples:
  lianxin record articles LF-SLJD-HUBA-2026-00001-97 草案.docx
  lianxin record articles LF-SLJD-HUBA-2026-00001-97 草案二审稿.docx --newer

Each article begins a line with 第…条. With --newer the comments go along with articles that are the same, also under another
number, and those on articles that differ are marked to be looked at again.")]
    Articles {
        /// Record id or number of the consultation
        id: String,
        /// The text: Word (docx) or plain text, or - for standard input
        file: PathBuf,
        /// It takes the place of the text that is there
        #[arg(long)]
        newer: bool,
    },
    /// Publish a kind of record of your own, or a newer form of one that there is, for every device (hub, operator)
    #[command(after_help = "Examples:
  lianxin record publish 路灯巡查.toml --dry-run
  lianxin record publish 路灯巡查.toml

The file has the form of those in protocol/src/catalogue/kinds. A newer form states a higher version; it adds fields (each with
since = that version), choices and words, and takes nothing away.")]
    Publish {
        /// The file, at most 128 KiB
        file: PathBuf,
        /// Only look at it, and say what it would add
        #[arg(long)]
        dry_run: bool,
    },
    /// Record one JSON object, an array, or JSON lines
    #[command(after_help = "Examples:
  lianxin record add --kind opinion --file opinion.json
  printf '{\"category\": \"help\", \"body\": \"路灯不亮\"}' | lianxin record add --kind opinion --file -")]
    Add {
        /// Kind of record, such as opinion
        #[arg(long)]
        kind: String,
        /// The file, or - for standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Change fields of a record
    #[command(after_help = "Example:
  printf '{\"urgency\": \"urgent\"}' | lianxin record set YJ-SLJD-EM1A-2026-00001-97 --file -")]
    Set {
        /// Record id or number
        id: String,
        /// JSON object of fields; null clears one
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
    },
    /// Take a step of a record's workflow
    #[command(after_help = "Example:
  lianxin record act YJ-SLJD-EM1A-2026-00001-97 accept")]
    Act {
        /// Record id or number
        id: String,
        /// The step
        event: String,
        /// JSON object of what the step carries
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// List records, newest first
    #[command(after_help = "Examples:
  lianxin record list --kind opinion --status registered
  lianxin record list --search 路灯 --state merged
  lianxin record list --where due_on=2026-12-31")]
    List(Box<RecordList>),
    /// Show one record
    Show {
        /// Record id or number
        id: String,
        /// Why the account of --as looks at what is kept of it; the access log keeps that
        #[arg(long, value_name = "REASON")]
        reveal: Option<String>,
    },
    /// Show every change of a record
    History {
        /// Record id or number
        id: String,
    },
}

#[derive(Debug, Args)]
struct RecordList {
    /// Kind of record
    #[arg(long)]
    kind: Option<String>,
    /// Status
    #[arg(long)]
    status: Option<String>,
    /// How far they have come: saved, sending, received, merged, answered, refused, quarantined
    #[arg(long)]
    state: Option<String>,
    /// Code of the site whose they are
    #[arg(long, value_name = "CODE")]
    site: Option<String>,
    /// Only what was recorded on this day or later
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// Only what was recorded on this day or earlier
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// What came of it, such as solved
    #[arg(long)]
    resolution: Option<String>,
    /// Text in number, title or any text; case and width do not matter; letters also find titles by their pinyin
    #[arg(long)]
    search: Option<String>,
    /// What the person concerned is called, or the whole of their number: all that they brought
    #[arg(
        long,
        value_name = "NAME",
        requires = "reason",
        conflicts_with = "search"
    )]
    person: Option<String>,
    /// Why all of a person is looked for; the access log keeps that, and not for whom
    #[arg(long, requires = "person")]
    reason: Option<String>,
    /// Only those with this value in a field, such as due_on=2026-12-31; more than one may be given
    #[arg(long = "where", value_name = "FIELD=VALUE")]
    values: Vec<String>,
    /// Rows at most (default 50, at most 500)
    #[arg(long)]
    limit: Option<usize>,
    /// `next` of the page before
    #[arg(long)]
    after: Option<String>,
}

#[derive(Debug, Subcommand)]
enum RequestVerb {
    /// List them with what became of them, newest first
    List {
        /// Rows at most (default 50, at most 500)
        #[arg(long)]
        limit: Option<usize>,
    },
}

/// Runs the command line and gives the exit status.
#[must_use]
pub fn main() -> u8 {
    // A panic's message may hold what a resident said; its place does not.
    std::panic::set_hook(Box::new(|info| {
        let place = info
            .location()
            .map(|at| format!("{}:{}", at.file(), at.line()));
        tracing::error!(
            place = place.as_deref().unwrap_or("unknown"),
            "an internal fault"
        );
    }));
    let json = std::env::args_os().any(|argument| argument == "--json");
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) if error.use_stderr() => {
            let text = error.to_string();
            if json {
                return failed(&Error::new(Code::Usage, text.trim().to_owned()), true);
            }
            complain(&text);
            return Kind::Usage.exit_code();
        }
        Err(help) => {
            return say(&help.to_string()).map_or_else(|error| failed(&error, false), |()| 0);
        }
    };
    // What runs begins to log once it knows how much.
    if !matches!(cli.verb, Some(Verb::Run(_) | Verb::Setup) | None) {
        let log = crate::config::log_of_environment();
        logging::start(log.level, log.format);
    }
    match carry_out(cli) {
        Ok(exit) => exit,
        Err(error) => failed(&error, json),
    }
}

fn failed(error: &Error, json: bool) -> u8 {
    let code = error.code();
    if json {
        let value = json!({
            "schema": "lianxin.error/1",
            "code": code.text(),
            "message": error.chain(),
            "hint": code.hint(),
        });
        // Where that cannot be said either the exit code says it.
        drop(say(&format!("{value}\n")));
    } else {
        complain(&format!(
            "lianxin: {}\n  {}: {}\n",
            error.chain(),
            code.text(),
            code.hint()
        ));
    }
    code.kind().exit_code()
}

/// Prints data. A reader that has gone away (EPIPE) needs nothing more.
///
/// # Errors
/// It cannot be written, for one because the disk is full to which it goes.
fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            let message = "what was asked for was done, and the answer cannot be written";
            Err(Error::because(Code::File, message, error))
        }
        _ => Ok(()),
    }
}

/// Prints chatter.
fn complain(text: &str) {
    drop(std::io::stderr().lock().write_all(text.as_bytes()));
}

fn carry_out(cli: Cli) -> Result<u8> {
    let Cli {
        data,
        json,
        account,
        verb,
    } = cli;
    let output = Output { json };
    let Some(verb) = verb else {
        if json {
            let message = "a program names a command: `lianxin --help` lists them";
            return Err(Error::new(Code::Usage, message));
        }
        return first::run(&data.map_or_else(default_directory, Ok)?);
    };
    match verb {
        Verb::Setup => first::set_up(&data.map_or_else(default_directory, Ok)?, output),
        Verb::Demo {
            check,
            dir,
            allow_host,
            web,
        } => {
            let plan = demo::Plan {
                check,
                dir: dir.as_deref(),
                allow_host: &allow_host,
                web: web.as_deref(),
            };
            demo::run(&plan, &output)
        }
        Verb::Completions { shell } => manual::completions(shell),
        Verb::Man { out } => manual::pages(out.as_deref()),
        Verb::Record(Record::Kinds) => {
            kinds::published(data)?;
            kinds::list(output)
        }
        Verb::Record(Record::Template { kind }) => {
            kinds::published(data)?;
            kinds::template(&kind, output)
        }
        Verb::Config(verb) => {
            // A file is checked without a data directory too.
            let data = data.or_else(|| default_directory().ok());
            config::run(&verb, data.as_deref(), output)
        }
        Verb::Verify {
            file: Some(file),
            network,
        } => {
            let _wait = progress::spinner("checking chains and signatures");
            if let Some(bytes) = report::workbook_in(&file)? {
                return report::check_table(&bytes, output);
            }
            match report::proof_in(&file)? {
                Some(bytes) => report::check(&bytes, data.as_deref(), output),
                None => archive::check(&file, network.as_deref(), output),
            }
        }
        verb => {
            let data = data.map_or_else(default_directory, Ok)?;
            if !matches!(verb, Verb::Run(_)) {
                keep_offered();
            }
            with_data(verb, &data, account, &output)
        }
    }
}

/// What runs on a data directory: by itself, or as one command on its store.
fn with_data(verb: Verb, data: &Path, account: Option<String>, output: &Output) -> Result<u8> {
    match verb {
        Verb::Hub(Hub::Init {
            name,
            code,
            listen,
            web,
            recovery_out,
        }) => {
            let listen = listen.as_deref().map(own_address).transpose()?;
            let web = web.as_deref().map(own_address).transpose()?;
            if web.is_some_and(|web| !web.ip().is_loopback()) {
                let message = "pages are served on loopback only";
                return Err(Error::new(Code::Address, message));
            }
            let init = HubInit {
                web,
                name: &name,
                code: code.as_deref(),
                listen,
                recovery_out: recovery_out.as_deref(),
            };
            let value = setup::hub_init(data, &init)?;
            output.print(&Reply { value, exit: 0 })
        }
        Verb::Join(wanted) => join::run(data, &wanted, output),
        Verb::Run(run) => {
            let overrides = Overrides {
                listen: run.listen.as_deref().map(own_address).transpose()?,
                web: run.web.as_deref().map(own_address).transpose()?,
            };
            let config = Config::load(Some(data), &overrides)?;
            logging::start(config.log.level, config.log.format);
            keep_offered();
            let start = service::Start {
                json: output.json,
                ..service::Start::default()
            };
            service::run(data, &config, start)
        }
        // A link is whoever opens it; another account logs in with its password.
        Verb::Open if account.is_some() => Err(Error::new(
            Code::Usage,
            "a link logs in the first account: others log in on the page, with their password",
        )),
        Verb::Open => open(data, output),
        Verb::Store(StoreVerb::Refill) => {
            let _wait = progress::spinner("filling a new store");
            let old = refill::from_old(data)?;
            let asked = service::sync_here(data, None);
            output.print(&refill::report(data, old, asked)?)
        }
        Verb::Sync { peer } => {
            let _wait = progress::spinner("talking to the hub");
            let reply = match socket::ask(data, &Request::Sync { peer: peer.clone() })? {
                Some(reply) => reply,
                None => service::sync_here(data, peer.as_deref())?,
            };
            output.print(&reply)
        }
        Verb::Report(asked) => report::run(asked, data, account, *output),
        Verb::Export {
            format,
            kind,
            from,
            to,
            encoding,
            out,
        } => {
            let mut door = Door::with_kinds(data)?;
            let wanted = export::Wanted {
                format: &format,
                encoding: &encoding,
                pages: export::Pages {
                    kind: kind.as_deref().map(known_kind).transpose()?,
                    recorded_ms: export::Pages::period(from.as_deref(), to.as_deref())?,
                    account: account.as_deref(),
                },
            };
            export::run(&mut door, &wanted, &out, output)
        }
        Verb::Form(verb) => form::run(verb, data, account.as_deref(), *output),
        Verb::Record(Record::Publish { file, dry_run }) => {
            kinds::publish(data, (&file, dry_run), account.as_deref(), *output)
        }
        Verb::Import(asked) => import::run(&asked, data, account.as_deref(), *output),
        Verb::Record(Record::Add { kind, file }) => {
            let rows = add::rows(&file)?;
            let mut door = Door::open(data)?;
            add::run(&mut door, &kind, rows, account.as_deref(), output)
        }
        Verb::Invite(verb) => invite(verb, data, output),
        Verb::Account(verb) => account::run(verb, data, *output),
        verb => {
            let command = command_of(verb, data, account)?;
            let wait = progress::spinner(match &command {
                Command::Query(Query::Verify) => "checking chains and signatures",
                Command::Write(Write::Reproject) => "rebuilding lists from the logs",
                _ => "working",
            });
            let reply = Door::open(data).and_then(|mut door| door.call(command));
            drop(wait);
            output.print(&reply?)
        }
    }
}

fn invite(verb: InviteVerb, data: &Path, output: &Output) -> Result<u8> {
    let (site, role, expires, out) = match verb {
        InviteVerb::Admit { request, out } => return join::admit(data, &request, &out, output),
        InviteVerb::List => {
            return output.print(&Door::open(data)?.call(Query::InviteList)?);
        }
        InviteVerb::Revoke { id } => {
            let reply = Door::open(data)?.call(Write::InviteRevoke { id })?;
            return output.print(&reply);
        }
        InviteVerb::Create {
            site,
            role,
            expires,
            out,
        } => (site, role, expires, out),
    };
    let hours = || {
        Error::new(
            Code::Usage,
            "--expires takes hours or days, such as 72h or 3d",
        )
    };
    let expires_hours = hours_of(&expires).ok_or_else(hours)?;
    let command = Write::InviteCreate {
        site,
        role,
        expires_hours,
    };
    let mut reply = Door::open(data)?.call(command)?;
    if let Some(out) = out {
        let card = crate::reply::with_schema("lianxin.invite/1", reply.value.clone());
        store::write_private(&out, format!("{card:#}\n").as_bytes())?;
    }
    if let Value::Object(fields) = &mut reply.value {
        fields.retain(|key, _| !["district", "name"].contains(&key.as_str()));
    }
    output.print(&reply)
}

/// Hours of a time such as `72h`, `72` or `3d`.
fn hours_of(typed: &str) -> Option<u64> {
    let typed = text::plain(typed).to_ascii_lowercase();
    let (number, hours) = match typed.strip_suffix('d') {
        Some(days) => (days, 24),
        None => (typed.strip_suffix('h').unwrap_or(&typed), 1),
    };
    number.trim().parse::<u64>().ok()?.checked_mul(hours)
}

/// The command of a verb that is one.
fn command_of(verb: Verb, data: &Path, account: Option<String>) -> Result<Command> {
    Ok(match verb {
        Verb::Hub(Hub::Resume { card, alone }) => Write::HubResume {
            root: Secret::new(&setup::root_of_card(&card)?),
            alone,
        }
        .into(),
        Verb::Hub(Hub::Address(verb)) => Write::HubAddress {
            change: match verb {
                AddressVerb::List => AddressChange::None,
                AddressVerb::Add { address } => AddressChange::Add(address),
                AddressVerb::Remove { address } => AddressChange::Remove(address),
            },
        }
        .into(),
        Verb::Site(Site::List) => Query::SiteList.into(),
        Verb::Conflict(verb) => conflict::command(verb, account)?,
        Verb::Quarantine(Quarantine::List) => Query::QuarantineList.into(),
        Verb::Quarantine(Quarantine::Show { id }) => Query::QuarantineShow { id }.into(),
        Verb::Quarantine(Quarantine::Adopt { id }) => Write::QuarantineAdopt { id }.into(),
        Verb::Peer(Peer::Add { address }) => Write::PeerAdd { address }.into(),
        Verb::Site(Site::Create { name, kind, code }) => {
            Write::SiteCreate { name, kind, code }.into()
        }
        Verb::Record(Record::Set { id, file }) => Write::RecordSet {
            id,
            input: add::object(&file)?,
            account,
        }
        .into(),
        Verb::Record(Record::Act { id, event, file }) => {
            let input = file.as_deref().map_or_else(|| Ok(json!({})), add::object)?;
            Write::RecordAct {
                id,
                event,
                input,
                account,
            }
            .into()
        }
        Verb::Record(Record::List(list)) => {
            let RecordList {
                kind,
                status,
                state,
                site,
                from,
                to,
                resolution,
                search,
                person,
                reason,
                mut values,
                limit,
                after,
            } = *list;
            values.extend(resolution.map(|it| format!("resolution={it}")));
            let listing = Listing {
                kind,
                status,
                state,
                site,
                recorded_ms: export::Pages::period(from.as_deref(), to.as_deref())?,
                of_person: person.is_some(),
                search: person.or(search),
                values,
                limit,
                after,
                account,
            };
            match reason {
                Some(reason) => Write::RecordPerson { listing, reason }.into(),
                None => Query::RecordList(listing).into(),
            }
        }
        Verb::Record(Record::Show { id, reveal }) => match reveal {
            None => Query::RecordShow { id, account }.into(),
            Some(reason) => Write::RecordReveal {
                id,
                reason,
                account,
            }
            .into(),
        },
        Verb::Record(Record::History { id }) => Query::RecordHistory { id, account }.into(),
        Verb::Record(Record::Names { limit }) => Query::RecordNames { limit }.into(),
        Verb::Record(Record::Alike { limit }) => Query::RecordAlike { limit, account }.into(),
        Verb::Record(Record::Articles { id, file, newer }) => Write::RecordArticles {
            id,
            text: papers::text_of(&add::bytes(&file)?)?,
            newer,
            account,
        }
        .into(),
        Verb::Inbox { seen, limit } => Query::Inbox {
            seen,
            limit,
            account,
        }
        .into(),
        Verb::Request(RequestVerb::List { limit }) => Query::RequestList { limit }.into(),
        Verb::Status => {
            let config = Config::load(Some(data), &Overrides::default())?;
            Query::Status {
                unreceipted_minutes: config.status.unreceipted_minutes,
            }
            .into()
        }
        Verb::Digest => Query::Digest.into(),
        Verb::Verify { .. } => Query::Verify.into(),
        Verb::Reproject => Write::Reproject.into(),
        Verb::Demo { .. }
        | Verb::Config(_)
        | Verb::Hub(Hub::Init { .. })
        | Verb::Join(_)
        | Verb::Run(_)
        | Verb::Setup
        | Verb::Open
        | Verb::Store(_)
        | Verb::Sync { .. }
        | Verb::Export { .. }
        | Verb::Report(_)
        | Verb::Import(_)
        | Verb::Form(_)
        | Verb::Completions { .. }
        | Verb::Man { .. }
        | Verb::Account(_)
        | Verb::Record(
            Record::Add { .. } | Record::Kinds | Record::Template { .. } | Record::Publish { .. },
        )
        | Verb::Invite(_) => {
            return Err(Error::new(Code::Internal, "this is no command on a store"));
        }
    })
}

/// Makes a login link and shows it to the browser, if there is a desktop.
fn open(data: &Path, output: &Output) -> Result<u8> {
    let mut door = Door::open(data)?;
    let mut reply = door.call(Write::Open)?;
    let url = reply.value.get("url").and_then(Value::as_str);
    if matches!(door, Door::Store(_)) {
        complain("lianxin is not running here: start `lianxin run`, then open the link\n");
        reply.exit = 1;
    } else if let Some(url) = url {
        show(url);
    }
    output.print(&reply)
}

/// Shows a page in the browser, if there is a desktop.
fn show(url: &str) {
    if !has_desktop() {
        return;
    }
    let opened = std::process::Command::new("xdg-open")
        .arg(url)
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn();
    if opened.is_err() {
        complain("no browser was found: open the link by hand\n");
    }
}

fn has_desktop() -> bool {
    let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    set("DISPLAY") || set("WAYLAND_DISPLAY")
}

/// How replies are printed.
#[derive(Clone, Copy, Debug)]
struct Output {
    json: bool,
}

impl Output {
    fn print(self, reply: &Reply) -> Result<u8> {
        if self.json {
            say(&format!("{}\n", reply.value))?;
        } else {
            say(&print::text(&reply.value))?;
        }
        Ok(reply.exit)
    }
}

/// The way to a store: through the daemon that has it, or on the store itself.
enum Door {
    Daemon(PathBuf),
    Store(Box<Writer>),
}

impl Door {
    /// Finds the way. A daemon that is just starting has the lock before it has its socket.
    fn open(directory: &Path) -> Result<Self> {
        let mut attempts = 0;
        loop {
            if socket::connect(directory).is_some() {
                return Ok(Self::Daemon(directory.to_owned()));
            }
            let store = Store::open(directory)?;
            match Writer::open(&store) {
                Ok(writer) => return Ok(Self::Store(Box::new(writer))),
                Err(error) if error.code() == Code::InUse && attempts < 50 => {
                    attempts += 1;
                    std::thread::sleep(Duration::from_millis(100));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// The same for a command that reads kinds of record in this process: it goes by the published ones as whoever has the store does.
    fn with_kinds(directory: &Path) -> Result<Self> {
        let mut door = Self::open(directory)?;
        if matches!(door, Self::Daemon(_)) {
            published::go_by(&kind_files(&door.call(Query::KindFiles)?.value)?);
        }
        Ok(door)
    }

    fn call(&mut self, command: impl Into<Command>) -> Result<Reply> {
        let command = command.into();
        let _span = tracing::info_span!("command", verb = command.name()).entered();
        match self {
            Self::Daemon(directory) => {
                let gone = || Error::new(Code::InUse, "the running lianxin has just ended");
                socket::ask(
                    directory,
                    &Request::Execute {
                        command: Box::new(command),
                    },
                )?
                .ok_or_else(gone)
            }
            Self::Store(writer) => {
                // What a crash or a short session left unmerged. Intake waits for none of it.
                if command.needs_lists() {
                    writer.catch_up(|_| {})?;
                }
                command.carry_out(writer)
            }
        }
    }
}

fn default_directory() -> Result<PathBuf> {
    if let Some(directory) = std::env::var_os("LIANXIN_DATA").filter(|it| !it.is_empty()) {
        return Ok(PathBuf::from(directory));
    }
    if let Some(base) = std::env::var_os("XDG_DATA_HOME").filter(|it| !it.is_empty()) {
        return Ok(PathBuf::from(base).join("lianxin"));
    }
    let home = std::env::var_os("HOME").filter(|it| !it.is_empty());
    let home = home.ok_or_else(|| Error::new(Code::Usage, "no HOME is set: give --data"))?;
    Ok(PathBuf::from(home).join(".local/share/lianxin"))
}

/// Keeps what devices have offered outside their data directories as well: where `LIANXIN_STATE` says, nowhere if it is
/// set and empty, else in the user's state directory (XDG Base Directory Specification 0.8).
fn keep_offered() {
    let base = |name| {
        std::env::var_os(name)
            .filter(|it| !it.is_empty())
            .map(PathBuf::from)
    };
    let directory = match std::env::var_os("LIANXIN_STATE") {
        Some(directory) if directory.is_empty() => None,
        Some(directory) => Some(PathBuf::from(directory)),
        None => base("XDG_STATE_HOME")
            .or_else(|| Some(base("HOME")?.join(".local/state")))
            .map(|base| base.join("lianxin")),
    };
    if let Some(directory) = directory
        && let Err(error) = store::keep_offered_in(&directory)
    {
        tracing::warn!(
            error = error.chain(),
            "positions are kept in the data directory alone: a disk that is put back as a whole is not noticed"
        );
    }
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::because(Code::Internal, "cannot start the runtime", error))
}

/// An address that only this computer reaches, with a port that the system chooses.
const LOOPBACK: &str = "127.0.0.1:0";

/// An address of this computer on any network, with a port that the system chooses.
const ANY: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED), 0);
