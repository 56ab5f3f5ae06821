//! Every bound of the formats and of a session, each beside its reason.
//!
//! A bound stands here once; code names it and never writes the number. Relations between bounds are
//! asserted at compile time, so that a change of one that breaks another does not build.

/// Entries in one batch and between two checkpoints: bounds what one signature check can cost and
/// what a cut connection sends again.
pub const BATCH_ENTRIES: usize = 64;
/// Payload and header bytes after which a batch is closed (a save group that has begun is finished).
pub const BATCH_TARGET_BYTES: usize = 256 * 1024;
/// Compressed bytes of one batch: what a cut connection sends again at most.
pub const BATCH_COMPRESSED_MAX: usize = 512 * 1024;
/// Decompressed bytes of one section of a batch: checked while decompressing, so that a small frame
/// cannot ask for much memory.
pub const BATCH_DECOMPRESSED_MAX: usize = 1024 * 1024;
/// One frame with its head; larger lengths are refused before anything is allocated.
pub const FRAME_MAX: usize = 1024 * 1024;
/// Bytes of a frame head: type u16 and length u32.
pub const FRAME_HEAD: usize = 6;
/// One Automerge change that a device writes by default.
pub const CHANGE_DEFAULT_MAX: usize = 64 * 1024;
/// One Automerge change that is accepted at all: a checkpoint interval cannot be larger.
pub const CHANGE_MAX: usize = 256 * 1024;
/// Operations of all changes of one log in one record, and values that they take the place of. A save has a dozen; each costs 300 bytes and a microsecond and a
/// half when the record is built. What one log writes too much is not taken from what another may write.
pub const RECORD_OPS_MAX: u64 = 25_000;
/// Dependencies of one change. A change depends on the heads its author saw, and a record has rarely more
/// heads than devices that wrote it while apart.
pub const CHANGE_DEPS_MAX: usize = 64;
/// Operations, and predecessors, in one change; nor may it have more operations than bytes. A save of every field
/// of the largest form is below 500, each with a key of its own. Without the second bound a change of 115 bytes
/// could cost 50 ms.
pub const CHANGE_OPS_MAX: usize = 20_000;
/// Bytes of map keys in one change once its runs are expanded.
pub const CHANGE_KEY_BYTES_MAX: usize = 1024 * 1024;
/// Changes of one log in one record: a save a day for three years. Whoever has written as many goes on in a new log.
pub const RECORD_CHANGES_MAX: usize = 1_000;
/// Bytes of all changes of one log in one record. Texts travel beside them, so that a thousand saves take a third of it.
pub const RECORD_BYTES_MAX: usize = 1024 * 1024;
/// Events of one log in one record: what precedes each of them is kept for each, so that the cost grows with the square.
pub const RECORD_EVENTS_MAX: usize = 64;
/// One part: the texts or the card of one save, salt included.
pub const PART_MAX: usize = 64 * 1024;
/// Fields of one part; a form has a few dozen at most.
pub const PART_FIELDS_MAX: usize = 256;
/// Any other payload: authority orders, requests, genesis.
pub const PAYLOAD_MAX: usize = 64 * 1024;
/// Extension bytes behind the known header fields of an entry that a newer version wrote.
pub const HEADER_EXTENSION_MAX: usize = 256;
/// Offers in one frame, no bound of a network: further frames carry the rest. A Hello with so many passes the slowest
/// line, 9.6 kbit/s, in a quarter of [`HELLO_TIMEOUT_MS`].
pub const OFFERS_MAX: usize = 64;
/// Rows in one frame of a vector, no bound of a space: further frames carry the rest. A frame of them takes a slow line
/// a minute, so that other frames are not held up for longer.
pub const ROWS_MAX: usize = 1_024;
/// Spaces of one session, or of one archive: a district has 2,000 sites at most, and each one of these costs 100 bytes.
pub const SPACES_MAX: usize = 16_384;
/// Logs of one space in an archive, and logs that a peer may name in one session beyond those that are stored here: 65
/// for each of 2,000 sites, to a device that has none yet. Each costs 300 bytes, so that a peer can fill 40 MB.
pub const LOGS_MAX: usize = 131_072;
/// Logs that one device may begin in one space in a day. A device begins one in its life; a restored or copied disk
/// begins another, and one that is put back at each start a few a day.
pub const LOGS_A_DAY: u32 = 32;
/// Logs begun in one space in a day, above which the hub's people are told to look at the device.
pub const LOGS_UNUSUAL: u32 = 5;
/// Runs of one log's branches that are kept beside it: a pinned branch parts from what is here by as many at most.
pub const BRANCH_RUNS_MAX: usize = 1_024;
/// Bytes that a hub stores of one device in a day, unless its grant says another number: a site's records of some
/// years at once, and a day's work is a thousandth of it.
pub const DEVICE_BYTES_A_DAY: u64 = 1024 * 1024 * 1024;
/// Largest number that a store keeps, in 64 bits with a sign: what others sign may say more, and is then not read.
pub const STORED_MAX: u64 = i64::MAX as u64;
/// Logs that one arrival names: as many as fit an entry. A commit that stored more writes a second.
pub const ARRIVALS_MAX: usize = 800;
/// Exceptions in one receipt; more ranges than this are reported as one that spans them.
pub const EXCEPTIONS_MAX: usize = 256;
/// Length of a name or label in an authority entry, in bytes of UTF-8.
pub const NAME_MAX: usize = 200;
/// Addresses of a hub in one order: of each family, of each of its lines, and a name or two.
pub const ADDRESSES_MAX: usize = 8;
/// Addresses on one invite card.
pub const CARD_ADDRESSES_MAX: usize = ADDRESSES_MAX;
/// Characters of an invite card's text, however it was spaced: twice what the longest has.
pub const CARD_TEXT_MAX: usize = 8 * 1024;
/// A grant on a stick: the authority log of a thousand stations has about half a megabyte.
pub const GRANT_MAX: usize = 16 * 1024 * 1024;
/// Places in one order: incarnations of one device in all its spaces. A grant with as many fits a payload.
pub const CUTS_MAX: usize = 880;
/// Facts of one requested step: as many as a part has texts.
pub const REQUEST_FACTS_MAX: usize = PART_FIELDS_MAX;
/// Key or value of a fact of a requested step, in bytes: the longest reference has 200 characters.
pub const REQUEST_TEXT_MAX: usize = 1024;
/// Newest changes of a record that a request names: a change can depend on no more either.
pub const REQUEST_SEEN_MAX: usize = CHANGE_DEPS_MAX;
/// Scopes of one grant.
pub const SCOPES_MAX: usize = 64;
/// Bytes that may wait in a session's outgoing buffer before it loads more to send, on a line that is not slow.
pub const OUTGOING_BUFFER: usize = 1024 * 1024;
/// Packed bytes of batches received and not yet committed before a receiver stops reading: what a hub commits at once of
/// one peer. Unpacked they are at most [`BATCH_RATIO_MAX`] times as much.
pub const UNCOMMITTED_BYTES: usize = 512 * 1024;
/// Batches received and not yet committed before a receiver stops reading, however small they are.
pub const UNCOMMITTED_BATCHES: usize = 256;
/// Unpacked bytes of a section of a batch for each packed one. Records and texts have fewer than ten; a section that would
/// have more is sent as it is. So the work that a batch asks for is bounded by what it costs to send.
pub const BATCH_RATIO_MAX: usize = 32;
/// Receipts and fork proofs received and not yet judged before a receiver stops reading: a few commits of a hub.
pub const UNJUDGED_STATEMENTS: usize = 256;
/// Batches that do not verify, or that the peer may not send, before it is told to go away. An honest peer verified
/// what it sends; a damaged disk shows with the first.
pub const BAD_BATCHES_MAX: u32 = 8;
/// Frames that carry nothing new which a peer may send before it is told to go away.
pub const IDLE_FRAMES_MAX: u32 = 10_000;
/// Of them, so many a second cost nothing: replicas that hear the same from several peers, and keep-alive.
pub const IDLE_FRAMES_A_SECOND: u32 = 16;
/// Bytes of frames that carry nothing new, counted like [`IDLE_FRAMES_MAX`].
pub const IDLE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Of them, so many a second cost nothing.
pub const IDLE_BYTES_A_SECOND: u64 = 16 * 1024;
/// Times that a log is asked for from an earlier place in one session. The search for a fork doubles its step, so that
/// forty find any; the rest is for gaps.
pub const WANTS_MAX: u8 = 64;
/// Bytes that must move in [`PROGRESS_MS`] while a frame is owed: acknowledged ones on the way out, on the way in what the
/// transport has, also behind a packet that was lost. The slowest line that must work, 9.6 kbit/s, does twenty times
/// as much, and whoever does less holds memory and a place for nothing.
pub const PROGRESS_BYTES: u64 = 1024;
/// Time for [`PROGRESS_BYTES`], in milliseconds: some losses of one packet in a row. It runs only while something is owed.
pub const PROGRESS_MS: u64 = 20_000;
/// Logs of one space of which a peer may say, without showing it, that it has more than their author.
pub const CLAIMS_PER_PEER: usize = 3;
/// Connections of one device that are served at once: one that lives, and one that a changed address left
/// behind and that has not timed out yet. The oldest makes room.
pub const CONNECTIONS_PER_DEVICE: usize = 2;
/// Connections of one address whose devices the network does not know: an office that enrols all its computers at
/// once. The oldest makes room.
pub const STRANGERS_PER_IP: usize = 32;
/// Wrong enrolments of one address in [`ENROL_IP_MS`]: those that name no open invite. A right one is judged all the same.
pub const ENROL_WRONG_PER_IP: usize = 5;
/// Time in which the wrong enrolments of one address are counted, in milliseconds.
pub const ENROL_IP_MS: u64 = 60_000;
/// Wrong enrolments in all in [`ENROL_ALL_MS`]; the next invite that an operator makes clears them.
pub const ENROL_WRONG_MAX: usize = 50;
/// Time in which all wrong enrolments are counted, in milliseconds.
pub const ENROL_ALL_MS: u64 = 3_600_000;
/// Time from the opening of a stream to the peer's Hello, in milliseconds: on the slowest line, with one of its packets lost.
pub const HELLO_TIMEOUT_MS: u64 = 10_000;
/// Silence after which a Ping is sent, in milliseconds; live push needs the path kept open.
pub const KEEP_ALIVE_MS: u64 = 15_000;
/// Silence after which a peer counts as gone, in milliseconds.
pub const IDLE_TIMEOUT_MS: u64 = 30_000;
/// Forks kept as proofs for one log; the earliest one decides.
pub const FORK_HEADERS_MAX: usize = BATCH_ENTRIES;
/// Bytes of one item of an archive: an entry with the largest payload, or a fork proof.
pub const ARCHIVE_ITEM_MAX: usize = CHANGE_MAX + 1024;
/// What an archive's check says at most, in lines: a damaged archive has few causes.
pub const ARCHIVE_BAD_MAX: usize = 1_000;
/// Entries of the authority log that an archive's check remembers to compare them with what checkpoints
/// cite: 32 MiB, and more than a district gives orders in a century.
pub const ARCHIVE_CITED_MAX: usize = 1 << 20;

const _: () = assert!(BATCH_COMPRESSED_MAX + 1024 <= FRAME_MAX);
const _: () = assert!(BATCH_TARGET_BYTES + CHANGE_MAX + 2 * PART_MAX <= BATCH_DECOMPRESSED_MAX);
const _: () = assert!(CHANGE_DEFAULT_MAX <= CHANGE_MAX && CHANGE_MAX <= BATCH_TARGET_BYTES);
// A record that is full has been written with changes of a usual size.
const _: () = assert!(RECORD_BYTES_MAX / RECORD_CHANGES_MAX >= 1024);
const _: () = assert!(RECORD_OPS_MAX > CHANGE_OPS_MAX as u64 && RECORD_BYTES_MAX > CHANGE_MAX);
const _: () = assert!(ARRIVALS_MAX * 80 + 4 <= PAYLOAD_MAX);
// A grant with every place and scope, the largest order, is a payload that a log can carry.
const _: () = assert!(CUTS_MAX * 72 + SCOPES_MAX * 18 + NAME_MAX + 256 <= PAYLOAD_MAX);
// Who sends a frame at the slowest pace is not taken for silent.
const _: () = assert!(PROGRESS_MS < IDLE_TIMEOUT_MS && ENROL_WRONG_PER_IP < ENROL_WRONG_MAX);
const _: () = assert!(KEEP_ALIVE_MS * 2 <= IDLE_TIMEOUT_MS);
// Header with extension, and the larger of payload and two branches of a fork.
const _: () = assert!(1 + 109 + HEADER_EXTENSION_MAX <= 1024 && PAYLOAD_MAX <= CHANGE_MAX);
const _: () =
    assert!(2 * FORK_HEADERS_MAX * (109 + HEADER_EXTENSION_MAX) + 512 <= ARCHIVE_ITEM_MAX);
// A frame of rows with every field: 32 log + 8 len + 16 head + 1 flags + 8 first + 4 missing a row.
const _: () = assert!(ROWS_MAX * 69 + 64 <= FRAME_MAX);
// Hello passes the slowest line in time: 41 bytes an offer, 1,200 bytes a second.
const _: () = assert!((OFFERS_MAX * 41 + 64) as u64 * 1_000 / 1_200 * 4 <= HELLO_TIMEOUT_MS);
// A section that does not pack can still be sent.
const _: () = assert!(
    BATCH_TARGET_BYTES + CHANGE_DEFAULT_MAX + 2 * PART_MAX + 16 * 1024 <= BATCH_COMPRESSED_MAX
);
