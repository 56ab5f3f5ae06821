//! Formats, rules and the sync state machine of Lianxin 连心.
//!
//! Pure: no I/O, no clock, no randomness; time, random bytes and stored state arrive as arguments. That
//! is why the simulator can drive the very code that runs in production.
//!
//! # Tour, in the order in which bytes become meaning
//!
//! 1. [`limits`], [`codec`], [`hash`]: every bound with its reason, the one strict codec, the contexts.
//! 2. [`identity`], [`space`]: keys, invite codes, networks, sites and spaces.
//! 3. [`log`]: entries, save groups, checkpoints; [`log::Run`] is foreign, [`log::VerifiedRun`] has been
//!    checked. [`batch`] packs a run for wire and store.
//! 4. [`authority`]: who may do what, folded from one log. [`request`]: what operators ask the hub for.
//!    [`admit`]: where a run belongs. [`verdict`]: what counts.
//! 5. [`message`], [`receipt`], [`session`]: frames, the hub's statements, and the machine that moves what the other side lacks.
//! 6. [`archive`]: logs, receipts and texts as one file, and its check without a store. [`invite`]: joining where
//!    there is no line to the hub, by card and stick.
//! 7. Beside them: [`document`] (the only code that knows Automerge), [`part`] (erasable texts),
//!    [`catalogue`] (kinds of record as data), [`number`] (登记编号), [`words`] (four words to compare),
//!    [`text`] (what people typed, folded).
//!
//! # Glossary
//!
//! | word | 中文 | meaning |
//! |---|---|---|
//! | network | 网络 | one sub-district, named by the hash of its offline root key |
//! | site | 站点 | a work station, collection point or livestream desk |
//! | device | 设备 | a computer with a key of its own |
//! | space | 空间 | unit of access and replication |
//! | log | 日志 | one device's entries in one space in one incarnation: single writer, hash-chained |
//! | entry | 条目 | a chained header and a payload, which may be absent |
//! | save group | 保存组 | the entries of one save, never separated |
//! | checkpoint | 检查点 | a signature over a log's length and head |
//! | record | 记录 | one Automerge document |
//! | part | 附部 | erasable texts or a person's card beside the document |
//! | arrival | 到达记录 | the hub's entry that says when it stored what of which log |
//! | receipt | 中心回执 | the hub's signed statement of what it has of a log |
//! | slip | 登记单 | what is printed for the resident |
//! | role | 角色 | in which a person acts, one of seven; a device's grant says which of them may be acted in on it |
//! | authority log | 授权日志 | the log that says who may do what |
//! | request | 请求 | an operator's order that only the hub can carry out, and its answer |
//! | quarantine | 隔离 | stored, verified, not applied, with a reason |
//! | epoch | 存储纪元 | random id of a store |
//! | incarnation | 化身 | random id of a log; a new one after restore, clone or fork |
//! | archive | 存档 | a store's logs, receipts and texts in one file that anyone can check |

pub mod admit;
pub mod archive;
pub mod arrival;
pub mod authority;
pub mod base32;
pub mod batch;
pub mod catalogue;
pub mod codec;
pub mod deadline;
pub mod document;
pub mod hash;
pub mod identity;
pub mod invite;
pub mod limits;
pub mod log;
pub mod message;
pub mod number;
pub mod part;
pub mod receipt;
pub mod request;
pub mod session;
pub mod space;
#[cfg(test)]
pub(crate) mod testing;
pub mod text;
pub mod verdict;
pub mod words;
