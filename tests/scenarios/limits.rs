//! Every bound on what others can make a node hold or do, reached and passed. Not here: what a bound means for
//! one function, which that function's own tests say; and abuse that breaks no bound (`abuse`).
//!
//! Each bound stands once, in `protocol/src/limits.rs` or, for the transport, in `sync/endpoint.rs`, and for
//! pages in `web.rs` and its files. The table says where it is reached: `s` = `protocol/src/session/tests.rs`, `S` = `tests/scale.rs` and `h` = `tests/hostile.rs` beside it,
//! `m` = `message/tests.rs`, `b` = `batch/tests.rs`, `l` = `log/tests.rs`, `d` = `document/tests.rs` with `tests/guard.rs` and `tests/gate.rs`,
//! `e` = `node/src/sync/endpoint/tests.rs`, `t` = `tls.rs`, `a` = `admission.rs`,
//! `i` = `node/src/records/indexed.rs`, `q` = `node/src/journal/quota.rs`, `w` = `node/src/web/patience.rs`, no letter = this file.
//!
//! | bound | value | test |
//! |---|---|---|
//! | identity: 44 bytes of a sound Ed25519 key | – | t `only_the_44_bytes_of_a_sound_key_are_an_identity`, e `a_key_without_its_private_half_is_refused` |
//! | no X.509, no client without a key | – | e `a_client_of_certificates_is_refused`, `a_client_without_a_key_is_refused` |
//! | ALPN exact | `lianxin/1` | e `another_application_protocol_is_refused` |
//! | tickets, resumption, early data | none | e `no_ticket_is_given_for_a_second_visit` |
//! | half-open: address proven above, turned away above | 64, 4 an address; 1,024 | e `callers_are_counted_by_address_and_in_all`, `slow_callers_neither_block_nor_shut_out_others` |
//! | half-open of one proven address | 64: an office comes back at once after a power cut, so not the 8 that hold for strangers | e `callers_are_counted_by_address_and_in_all` |
//! | bytes of half-open connections | 32 KiB each, 4 MiB in all: quinn's own counters, set and not reached by a test | – |
//! | windows: stream, connection, sending | 256, 512, 512 KiB | e `unread_bytes_fill_the_windows_and_no_more` |
//! | crypto buffer | 16 KiB: quinn's, set and not reached by a test | – |
//! | streams; datagrams | 8 of a kind; none | e `eight_streams_of_a_kind_are_open_at_once_and_the_ninth_waits` |
//! | handshake and first stream | 10 s | e `nobody_waits_for_a_handshake_for_ever` |
//! | Hello | 10 s, with one lost packet on the slowest line | s `a_peer_that_says_no_hello_is_left_after_ten_seconds` |
//! | silence; keep-alive | 30 s; 15 s always, not 10 s while busy, because live push needs the path open | s `silence_is_broken_by_pings_and_ends_the_session_when_nobody_answers`, `a_quiet_session_lives_for_a_week` |
//! | claims to have more of a log than its author | 3 of a space, until settled | `restore::a_peer_that_claims_without_end_is_not_heard_without_end` |
//! | progress of what is owed | 1 KiB in 20 s, of what the transport has | s `a_frame_that_has_begun_must_move_on`, `a_kibibyte_in_twenty_seconds_is_enough`, `what_the_transport_has_is_progress_and_no_silence`, e `a_peer_that_does_not_read_is_given_up_and_one_that_reads_slowly_is_not` |
//! | connections of a device | 2, the newest count | `a_third_connection_of_a_device_ends_its_first` |
//! | strangers of an address | 32, for 10 s each; the oldest makes room | `so_many_strangers_are_heard_at_a_time_and_the_oldest_makes_room` |
//! | connections in all | 2,000 | e `above_the_most_connections_callers_are_turned_away` |
//! | a value that lists are filtered by | 64 characters, one for each marked field of a record | i `what_no_field_can_hold_is_in_no_index_however_it_came` |
//! | wrong enrolments | 5 a minute and address, 50 an hour, then none until the hour has passed or a new invite is made | `wrong_invites_are_paused_noted_without_their_code_and_a_new_one_ends_the_pause`, a |
//! | frame, before allocation | 1 MiB | m `frame_lengths_are_bounded_before_anything_is_allocated` |
//! | counts of a frame: offers, rows; of a receipt, proof, grant, revocation, part | 64, 1,024; 256, 64, 64, 900, 256 | `lists_end_at_their_bounds` |
//! | counts of a session: spaces offered, logs named that are not stored | 16,384, 131,072 | S `a_peer_cannot_offer_spaces_without_end`, `a_peer_cannot_name_logs_without_end`; what must work below them S `a_hub_and_an_operator_of_two_thousand_sites_share_all_of_their_spaces`, `twenty_thousand_logs_of_one_space_come_whole_from_either_side`, and `two_thousand_sites_are_offered_to_an_operator_and_heard_of` |
//! | change: written, accepted | 64 KiB both; 256 KiB can be carried by a log, for a later version | d `headers_that_ask_for_too_much_are_refused`, `edits_that_break_the_model_are_refused_and_leave_no_trace`, l `a_payload_beyond_the_limit_of_its_kind_is_refused_whole_or_absent` |
//! | operations, dependencies, keys of a change | 20,000 and of operations no more than bytes, 64, 1 MiB | d `run_lengths_are_counted_before_anything_is_expanded`, `headers_that_ask_for_too_much_are_refused` |
//! | part, other payloads | 64 KiB | l `a_payload_beyond_the_limit_of_its_kind_is_refused_whole_or_absent` |
//! | batch: entries | 64 | l `a_run_has_1_to_64_entries`, b `unknown_layouts_forms_and_counts_are_refused` |
//! | batch: compressed | 512 KiB, not 256: two sections, and a save group that has begun is finished | `a_batch_ends_at_its_bounds` |
//! | batch: decompressed | 1 MiB a section and 32 times its packed bytes, checked first | b `a_bomb_is_refused_before_it_goes_off`, `a_section_that_unpacks_to_much_more_than_it_is_worth_is_refused_before_it_is_hashed`, `names_that_become_much_more_than_they_are_worth_are_refused`, `whatever_an_honest_device_writes_can_be_sent_and_read`, `a_batch_ends_at_its_bounds` |
//! | batches that do not verify or have no business here | 8 | h `the_eighth_bad_batch_ends_the_session_and_each_before_it_is_answered` |
//! | unsigned tail | none at all: what no checkpoint covers is not taken, so nothing is staged | l `a_run_never_ends_inside_a_save` |
//! | batches not committed | 8 | s `a_store_that_takes_long_is_not_a_silent_peer` |
//! | one log in one record | 1,000 changes, 25,000 operations and values they replace, 1 MiB, 64 events; then its device goes on in a new log | d `a_flood_fills_its_own_share_and_nobody_elses`, `one_log_puts_so_many_changes_events_and_operations_into_a_record_and_then_a_new_log_goes_on` |
//! | memory of whatever stands in a change | – | `what_made_automerge_fall_is_judged_in_little_memory`, the fuzz target `change` |
//! | exceptions of a receipt | 256, the last of which spans the rest | `more_exceptions_than_a_receipt_names_are_spanned_by_its_last` |
//! | frames that carry nothing new | 10,000, sixteen a second given back | s `a_million_empty_frames_are_cut_off`, h `what_is_held_already_may_not_be_sent_without_end`, `receipts_that_were_said_may_not_be_said_without_end`, `receipts_that_are_never_kept_are_counted_and_those_that_are_kept_are_not`, `rows_that_grow_without_an_entry_are_counted`, `abuse::nothing_on_the_wire_changes_the_hub_or_stops_it` (the code) |
//! | bytes of them | 16 MiB, 16 KiB a second given back | h `large_frames_that_mean_nothing_are_cut_off_sooner` |
//! | receipts and proofs not judged | 256 | h `no_more_is_read_while_too_many_statements_wait` |
//! | times that a log is asked for again | 64 in a session | h `a_log_is_asked_for_again_only_from_an_earlier_place_and_not_without_end` |
//! | offers of one space | 16 | s `a_space_that_is_offered_again_and_again_is_cut_off` |
//! | bytes of a device in a day; one count for all who are unknown | 1 GiB, or what its grant says; what may not count is stored like the rest and counted like it | `a_hub_takes_of_a_device_what_it_may_send_in_a_day_and_the_rest_another_day`, q |
//! | logs that a device begins in a space in a day, before somebody is told; before no more is taken | 5; 32 | `of_a_device_that_begins_log_after_log_no_more_is_taken_that_day`, q |
//! | HTTP: head, header lines | 32 KiB, as the buffer doubles 64 KiB; 64 | `a_request_has_a_bounded_head_and_one_length` |
//! | HTTP: body | 512 KiB | `pages::what_is_no_request_of_these_pages_is_turned_away_and_changes_nothing` |
//! | HTTP: one length, no smuggling | – | `a_request_has_a_bounded_head_and_one_length` |
//! | HTTP: time of a head | 10 s | `who_sends_a_head_or_a_form_slowly_is_left_and_keeps_nobody_waiting` |
//! | HTTP: time in which a browser takes nothing | 30 s | w `bytes_that_nobody_takes_are_given_up_and_slow_readers_are_not` |
//! | HTTP: time of a body | 10 s | `who_sends_a_head_or_a_form_slowly_is_left_and_keeps_nobody_waiting` |
//! | HTTP: event streams | 64 | `event_streams_are_bounded_and_pages_go_on` |
//! | HTTP: passwords hashed at a time, wrong ones | 2; waits that double | `pages::wrong_passwords_are_slowed_down` |
//! | HTTP: names of these pages | own ones | `pages::what_is_no_request_of_these_pages_is_turned_away_and_changes_nothing` |

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use lianxin_node::command::Query;
use lianxin_node::error::Code;
use lianxin_node::sync::endpoint::Endpoint;
use lianxin_node::sync::enrol;
use lianxin_protocol::authority::{Cut, Grant, Order, Role, Scope, SiteKind, Spaces};
use lianxin_protocol::batch;
use lianxin_protocol::codec::{Reader, Writer};
use lianxin_protocol::document::digest_of_change;
use lianxin_protocol::identity::{DeviceKey, InviteCode, Signer};
use lianxin_protocol::limits;
use lianxin_protocol::log::{
    DigestMode, EntryKind, Genesis, GenesisReason, LogId, NewEntry, Position, RecordId, Tail,
    digest,
};
use lianxin_protocol::message::{
    ErrorCode, FrameReader, Message, Offer, Offers, Row, Vector, WireBatch, space_prefix,
};
use lianxin_protocol::part::Part;
use lianxin_protocol::space::{SiteId, Space, SpaceId};
use lianxin_tests::fuzz;
use lianxin_tests::process::{LOOPBACK, Network, now};
use lianxin_tests::world::HUB;
use lianxin_tests::{Wire, World};
use serde_json::json;

use super::abuse::{Attacker, Line, Witness};

// ---- connections ----

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_third_connection_of_a_device_ends_its_first() -> Result<()> {
    let mut network = Network::new()?;
    let attacker = Attacker::enrolled(&network, 11).await?;
    let first = attacker.greeted().await?;
    let mut second = attacker.greeted().await?;
    let mut third = attacker.greeted().await?;
    first.closed_with(ErrorCode::Busy).await?;
    for (token, line) in [(1, &mut second), (2, &mut third)] {
        line.send(&Message::Ping(token)).await?;
        line.until(|message| *message == Message::Pong(token))
            .await?;
    }
    // A place that is given back is there for the next, and nobody has to go.
    third.link.line.close(0);
    let mut fourth = attacker.greeted().await?;
    for (token, line) in [(3, &mut second), (4, &mut fourth)] {
        line.send(&Message::Ping(token)).await?;
        line.until(|message| *message == Message::Pong(token))
            .await?;
    }
    attacker.endpoint.close().await;
    network.hub_stops()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_many_strangers_are_heard_at_a_time_and_the_oldest_makes_room() -> Result<()> {
    let mut network = Network::new()?;
    let attacker = Attacker::enrolled(&network, 12).await?;
    let code = InviteCode::parse(&network.invite("EM1", "station")?)?;
    let mut witness = Witness::new(&network)?;
    let mut strangers = Vec::new();
    for seed in 0..=u8::try_from(limits::STRANGERS_PER_IP)? {
        strangers.push(stranger(&attacker, &network, 100 + seed).await?);
    }
    witness.unharmed("strangers who say nothing")?;
    // The oldest has made room; the others are heard for ten seconds and no longer.
    let mut ends = Vec::new();
    for (endpoint, line) in strangers {
        ends.push(line.end().await?);
        endpoint.close().await;
    }
    ends.sort_unstable();
    let busy = u64::from(ErrorCode::Busy.number());
    let heard = vec![Some(0); limits::STRANGERS_PER_IP];
    ensure!(ends == [heard, vec![Some(busy)]].concat(), "{ends:?}");
    // And then others are.
    let device = Signer::from_seed(&[151; 32]);
    enrol::join(network.address.parse()?, &device, &[9; 32], &code, None).await?;
    attacker.endpoint.close().await;
    network.hub_stops()
}

/// Someone unknown who has come in and says half a word.
async fn stranger(attacker: &Attacker, network: &Network, seed: u8) -> Result<(Endpoint, Line)> {
    let device = Signer::from_seed(&[seed; 32]);
    let endpoint = Endpoint::bind(LOOPBACK.parse()?, &device, |_| false)?;
    let mut link = endpoint
        .dial(network.address.parse()?, Some(attacker.hub))
        .await?;
    link.send.write(&[0]).await?;
    let frames = FrameReader::default();
    Ok((endpoint, Line { link, frames }))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wrong_invites_are_paused_noted_without_their_code_and_a_new_one_ends_the_pause()
-> Result<()> {
    let mut network = Network::new()?;
    let right = InviteCode::parse(&network.invite("EM1", "station")?)?;
    let address = network.address.parse()?;
    let device = Signer::from_seed(&[21; 32]);
    let mut guesses = Vec::new();
    for n in 1_u8.. {
        if guesses.len() == limits::ENROL_WRONG_PER_IP {
            break;
        }
        guesses.extend(InviteCode::from_random([n; 10]));
    }
    for guess in &guesses {
        let joined = enrol::join(address, &device, &[9; 32], guess, None).await;
        let refused = joined.err().context("a guess was let in")?;
        ensure!(refused.code() == Code::InviteRefused, "{}", refused.chain());
    }
    let next = InviteCode::from_random([99; 10]).context("no code")?;
    let joined = enrol::join(address, &device, &[9; 32], &next, None).await;
    let paused = joined.err().context("a sixth was judged")?;
    ensure!(paused.code() == Code::EnrolPaused, "{}", paused.chain());
    ensure!(paused.chain().contains("1 minutes"), "{}", paused.chain());
    // Whoever guesses at this address does not make others wait who were invited.
    enrol::join(address, &device, &[9; 32], &right, None).await?;
    network.invite("EM1", "laptop")?;
    let joined = enrol::join(address, &device, &[9; 32], &next, None).await;
    let refused = joined.err().context("a guess was let in")?;
    ensure!(refused.code() == Code::InviteRefused, "{}", refused.chain());
    let daemon = network.daemon.as_ref().context("no hub")?;
    let log = daemon.log();
    let noted = log.matches("an enrolment was refused").count();
    ensure!(
        noted == guesses.len() + 1 && log.contains("127.0.0.1"),
        "{log}"
    );
    for code in guesses.iter().chain([&right]) {
        ensure!(!log.contains(&code.to_string()), "a code is in the log");
    }
    network.hub_stops()
}

// ---- frames and batches ----

/// What a decoder says to a list of one entry fewer than its bound, of as many, and of one more.
fn at_bound(name: &str, bound: usize, reads: impl Fn(usize) -> bool) -> Result<()> {
    for (count, wanted) in [(bound - 1, true), (bound, true), (bound + 1, false)] {
        ensure!(reads(count) == wanted, "{name}: {count} of {bound}");
    }
    Ok(())
}

fn message_reads(message: &Message) -> bool {
    let mut frames = FrameReader::default();
    frames.push(&message.encode());
    matches!(frames.next_frame(), Ok(Some(read)) if read == *message)
}

// rule:limits-read
#[test]
fn lists_end_at_their_bounds() -> Result<()> {
    at_bound("offers", limits::OFFERS_MAX, |count| {
        let offer = Offer {
            space: [1; 8],
            digest: [0; 32],
            lacks_receipts: false,
        };
        message_reads(&Message::Offers(Offers {
            spaces: vec![offer; count],
            complete: true,
        }))
    })?;
    at_bound("rows", limits::ROWS_MAX, |count| {
        let rows = rows(count, 1);
        message_reads(&Message::Vector(Vector {
            space: [1; 8],
            complete: true,
            rows,
        }))
    })?;
    at_bound("scopes", limits::SCOPES_MAX, |count| {
        let scope = Scope::new(Spaces::EverySite, true, false);
        let order = Order::Grant(Grant {
            serial: 1,
            device: DeviceKey([1; 32]),
            recipient: [1; 32],
            site: None,
            role: Role::Reader,
            device_code: "EM1A".to_owned(),
            scopes: vec![scope; count],
            bytes_per_day: 0,
            places: Vec::new(),
        });
        Order::decode(&order.encode()).is_ok_and(|read| read == order)
    })?;
    at_bound("cuts", limits::CUTS_MAX, |count| {
        let cuts = (0..count).map(|n| {
            let mut log = LogId([0; 32]);
            log.0[..8].copy_from_slice(&n.to_be_bytes());
            let position = Position::start(&log);
            Cut { log, position }
        });
        let order = Order::Revoke {
            device: DeviceKey([1; 32]),
            lost: false,
            cuts: cuts.collect(),
        };
        Order::decode(&order.encode()).is_ok_and(|read| read == order)
    })?;
    at_bound("fields", limits::PART_FIELDS_MAX, |count| {
        let texts = (0..count).map(|n| (format!("{n:03}"), "测".to_owned()));
        let part = Part {
            salt: [1; 16],
            texts: texts.collect(),
        };
        Part::decode(&part.encode()).is_ok_and(|read| read == part)
    })?;
    at_bound("a name", limits::NAME_MAX, |len| {
        let order = Order::Network {
            name: "x".repeat(len),
            district: "SLJD".to_owned(),
        };
        Order::decode(&order.encode()).is_ok_and(|read| read == order)
    })?;
    at_bound("a frame", limits::FRAME_MAX - limits::FRAME_HEAD, |len| {
        let mut frames = FrameReader::default();
        let mut writer = Writer::new();
        writer.u16(200).length(len).fixed(&vec![0; len]);
        frames.push(&writer.into_bytes());
        matches!(frames.next_frame(), Ok(Some(Message::Unknown(200))))
    })
}

/// As many logs as this, that nobody has.
fn rows(count: usize, first: u32) -> Vec<Row> {
    let row = |n: u32| {
        let mut log = [0; 32];
        for (to, from) in log.iter_mut().zip((first + n).to_be_bytes()) {
            *to = from;
        }
        Row {
            log: LogId(log),
            len: 1,
            head: [1; 16],
            frozen: false,
            first: 0,
            missing: 0,
        }
    };
    (0..u32::try_from(count).unwrap_or(u32::MAX))
        .map(row)
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_peer_cannot_name_logs_without_end() -> Result<()> {
    let mut network = Network::new()?;
    let attacker = Attacker::enrolled(&network, 13).await?;
    let mut witness = Witness::new(&network)?;
    let mut line = attacker.greeted().await?;
    let space = space_prefix(&attacker.space(Space::Site(attacker.site)));
    for part in 0..130 {
        let first = part * u32::try_from(limits::ROWS_MAX)?;
        let vector = Message::Vector(Vector {
            space,
            complete: false,
            rows: rows(limits::ROWS_MAX, first),
        });
        if line.send(&vector).await.is_err() {
            break;
        }
    }
    line.closed_with(ErrorCode::TooLarge).await?;
    witness.unharmed("logs without end")?;
    attacker.endpoint.close().await;
    network.hub_stops()
}

#[test]
fn two_thousand_sites_are_offered_to_an_operator_and_heard_of() -> Result<()> {
    let mut world = World::with_stations(1, 1)?;
    let operator = world.add_operator("HUBB")?;
    let sites: Vec<_> = (0..2_000_u32)
        .map(|n| {
            let letters = [n / 260, n / 10 % 26].map(|n| char::from_u32(u32::from(b'A') + n));
            let letters = letters.into_iter().flatten().collect::<String>();
            let mut site = [9; 16];
            for (to, from) in site.iter_mut().zip(n.to_be_bytes()) {
                *to = from;
            }
            Order::Site {
                site: SiteId(site),
                code: format!("{letters}{}", n % 10),
                name: "示例站".to_owned(),
                kind: SiteKind::Workstation,
            }
        })
        .filter(|order| !matches!(order, Order::Site { code, .. } if code.starts_with("HU") || code == "EM1"))
        .collect();
    for some in sites.chunks(50) {
        world.transact(HUB, |journal, connection| {
            journal.order(connection, some, 1 << 41)
        })?;
    }
    let (id, ..) = world.add(1, "路灯不亮")?;
    // The first session brings the orders, and with them the spaces; the second begins with all of them.
    world.heal()?;
    world.heal()?;
    let authority = world.writer(operator)?.journal.authority();
    let spaces = authority.spaces().len();
    ensure!(spaces > sites.len(), "{spaces} spaces at the operator's");
    ensure!(world.has(operator, &id)?, "the record has not come");
    ensure!(world.violations.is_empty(), "{:?}", world.violations);
    world.agree(&[operator])
}

/// Runs of one log in a space, each of as many entries as these.
fn log_of(space: SpaceId, writer: &Signer, runs: Vec<Vec<NewEntry>>) -> (Row, Vec<WireBatch>) {
    let genesis = Genesis {
        space,
        device: writer.public(),
        incarnation: [5; 16],
        previous: None,
        reason: GenesisReason::New,
        authority_head: [0; 32],
    };
    let mut tail = Tail::begin(&genesis, 1 << 16, 1);
    let log = tail.log;
    let mut batches = Vec::new();
    let mut end = tail.end;
    for run in runs {
        for entry in run {
            tail.push_group(vec![entry], 2 << 16, 1);
        }
        let start = tail.start;
        end = tail.end;
        let next = Tail {
            start: end,
            ..tail.clone_empty()
        };
        let run = std::mem::replace(&mut tail, next).sign(writer, (1, [0; 32]), 3 << 16);
        batches.push(WireBatch {
            log: log.prefix(),
            start,
            packed: batch::pack(run.run()),
        });
    }
    let row = Row {
        log,
        len: end.len,
        head: end.head.first_chunk().copied().unwrap_or_default(),
        frozen: false,
        first: 0,
        missing: 0,
    };
    (row, batches)
}

fn part(n: usize) -> NewEntry {
    let text = ("body".to_owned(), format!("测试{n}"));
    let part = Part {
        salt: [7; 16],
        texts: [text].into(),
    };
    NewEntry {
        kind: EntryKind::Part,
        digest: DigestMode::Salted,
        erasable: true,
        record: RecordId([1; 16]),
        payload: part.encode(),
    }
}

/// A part that is nearly as long as one may be.
fn long_part(n: usize) -> NewEntry {
    let text = ("body".to_owned(), "长".repeat(20_000));
    let part = Part {
        salt: [u8::try_from(n).unwrap_or(0); 16],
        texts: [text].into(),
    };
    let payload = part.encode();
    NewEntry {
        payload,
        ..self::part(n)
    }
}

/// What has the magic and the digest of a change and is none.
fn no_change(n: usize) -> NewEntry {
    let rest = format!("\u{1}no change {n}");
    let mut payload = [&[0x85, 0x6f, 0x4a, 0x83, 0, 0, 0, 0], rest.as_bytes()].concat();
    let hash = digest(DigestMode::Change, &payload);
    if let (Some(sum), Some(first)) = (payload.get_mut(4..8), hash.get(..4)) {
        sum.copy_from_slice(first);
    }
    NewEntry {
        kind: EntryKind::Change,
        digest: DigestMode::Change,
        erasable: false,
        record: RecordId([1; 16]),
        payload,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_ends_at_its_bounds() -> Result<()> {
    let mut network = Network::new()?;
    let attacker = Attacker::enrolled(&network, 14).await?;
    let mut witness = Witness::new(&network)?;
    let site = attacker.space(Space::Site(attacker.site));
    let space = space_prefix(&site);
    let (row, batches) = log_of(site, &attacker.device, vec![vec![part(0)]]);
    let whole = batches.first().context("no batch")?;
    let vector = Message::Vector(Vector {
        space,
        complete: true,
        rows: vec![row],
    });
    let changed = |change: &dyn Fn(&mut WireBatch)| {
        let mut batch = whole.clone();
        change(&mut batch);
        Message::Batch(batch)
    };
    // A section that is longer than its frame field may be: no frame at all.
    let mut line = attacker.greeted().await?;
    line.send(&vector).await?;
    let longer = changed(&|batch| batch.packed.main = vec![7; limits::BATCH_COMPRESSED_MAX + 1]);
    line.send(&longer).await?;
    line.refused(ErrorCode::BadFrame).await?;
    // What becomes longer than it may, and what has more entries: signed and sound but for that. It is dropped,
    // and the line goes on.
    // Packed as well as it can be, which nobody who is honest does.
    let squeezed = |section: &[u8]| -> Result<_> {
        let mut reader = Reader::new(section);
        let raw = usize::try_from(reader.varint()?)?;
        reader.take(raw)?;
        let plain = zstd::bulk::decompress(reader.rest(), 2 * limits::BATCH_DECOMPRESSED_MAX)?;
        let before = section.len() - reader.remaining();
        let before = section.get(..before).context("raw bytes")?;
        Ok([before, &zstd::bulk::compress(&plain, 3)?].concat())
    };
    let bomb = zstd::bulk::compress(&vec![0; limits::BATCH_DECOMPRESSED_MAX + 1], 3)?;
    let bomb = [&[0], bomb.as_slice()].concat();
    let packed = |run: Vec<NewEntry>| -> Result<_> {
        let (_, batches) = log_of(site, &attacker.device, vec![run]);
        Ok(batches.first().context("no batch")?.packed.clone())
    };
    let mut heavy = packed((0..18).map(long_part).collect())?;
    heavy.parts = squeezed(&heavy.parts)?;
    ensure!(heavy.parts.len() < 64 * 1024, "it does not compress");
    let mut dear = packed(vec![long_part(0)])?;
    dear.parts = squeezed(&dear.parts)?;
    let crowded = packed((0..limits::BATCH_ENTRIES).map(part).collect())?;
    let bombs = [
        changed(&|batch| batch.packed.main.clone_from(&bomb)),
        changed(&|batch| batch.packed = heavy.clone()),
        changed(&|batch| batch.packed = dear.clone()),
        changed(&|batch| batch.packed = crowded.clone()),
    ];
    for (number, message) in bombs.into_iter().enumerate() {
        let mut line = attacker.greeted().await?;
        line.send(&vector).await?;
        line.send(&message).await?;
        line.told(ErrorCode::BadFrame)
            .await
            .with_context(|| format!("batch {number}"))?;
        line.send(&Message::Ping(5)).await?;
        line.until(|message| *message == Message::Pong(5)).await?;
    }
    witness.unharmed("batches beyond their bounds")?;
    attacker.endpoint.close().await;
    network.hub_stops()
}

// rule:limits-written
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn more_exceptions_than_a_receipt_names_are_spanned_by_its_last() -> Result<()> {
    let mut network = Network::new()?;
    let attacker = Attacker::enrolled(&network, 15).await?;
    let mut witness = Witness::new(&network)?;
    let site = attacker.space(Space::Site(attacker.site));
    // A change that the guard holds back, and a part, which counts, in turn.
    let pairs = limits::EXCEPTIONS_MAX + 40;
    let mut entries = (0..pairs).flat_map(|n| [no_change(n), part(n)]);
    let mut runs = Vec::new();
    loop {
        let run: Vec<_> = entries.by_ref().take(limits::BATCH_ENTRIES - 2).collect();
        if run.is_empty() {
            break;
        }
        runs.push(run);
    }
    let (row, batches) = log_of(site, &attacker.device, runs);
    let mut line = attacker.greeted().await?;
    let space = space_prefix(&site);
    line.send(&Message::Vector(Vector {
        space,
        complete: true,
        rows: vec![row],
    }))
    .await?;
    for batch in batches {
        line.send(&Message::Batch(batch)).await?;
    }
    let whole = |message: &Message| matches!(message, Message::Receipt(it) if it.log == row.log && it.judged_len == row.len);
    let Message::Receipt(receipt) = line.until(whole).await? else {
        bail!("no receipt");
    };
    ensure!(receipt.exceptions.len() == limits::EXCEPTIONS_MAX);
    let last = receipt.exceptions.last().context("no exception")?;
    // The genesis stands before the pairs; of each pair the first is held back.
    let from = 1 + 2 * (u64::try_from(limits::EXCEPTIONS_MAX)? - 1);
    ensure!(
        last.range == (from..row.len - 1),
        "{:?} of {}",
        last.range,
        row.len
    );
    ensure!(receipt.covers(2) && !receipt.covers(1));
    for seq in from..row.len - 1 {
        ensure!(!receipt.covers(seq), "{seq} is said to count");
    }
    ensure!(receipt.covers(row.len - 1), "the last one counts");
    witness.serves("more exceptions than fit")?;
    attacker.endpoint.close().await;
    network.hub_stops()
}

// ---- pages ----

/// Asks that the connection ends with the answer.
const CLOSE: &str = "Connection: close\r\n";

/// The pages of a device, by hand.
struct Pages {
    address: String,
    cookie: String,
}

impl Pages {
    fn open(network: &Network) -> Result<Self> {
        let opened = network.station.ok(&["open"])?;
        let url = opened.get("url").and_then(serde_json::Value::as_str);
        let url = url.context("no link")?;
        let rest = url.strip_prefix("http://").context("no link")?;
        let (address, path) = rest.split_once('/').context("no path")?;
        let mut pages = Self {
            address: address.to_owned(),
            cookie: String::new(),
        };
        let answer = pages.send(pages.head("GET", &format!("/{path}"), CLOSE))?;
        let cookie = answer.lines().find_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.eq_ignore_ascii_case("set-cookie").then_some(value)
        });
        let cookie = cookie.and_then(|it| it.split(';').next());
        pages.cookie = cookie.context("no cookie")?.to_owned();
        Ok(pages)
    }

    fn head(&self, method: &str, path: &str, more: &str) -> String {
        let (host, cookie) = (&self.address, &self.cookie);
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nCookie: {cookie}\r\n{more}\r\n")
    }

    fn stream(&self, bytes: &[u8]) -> Result<TcpStream> {
        let mut stream = TcpStream::connect(&self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(20)))?;
        drop(stream.write_all(bytes));
        Ok(stream)
    }

    /// Sends bytes and gives all that is answered until the connection ends or nothing more comes.
    fn send(&self, bytes: impl AsRef<[u8]>) -> Result<String> {
        let mut stream = self.stream(bytes.as_ref())?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }

    fn works(&self) -> Result<()> {
        let answer = self.send(self.head("GET", "/healthz", CLOSE))?;
        ensure!(status(&answer) == Some(200), "{answer:.200}");
        Ok(())
    }
}

fn status(answer: &str) -> Option<u16> {
    answer.split(' ').nth(1)?.parse().ok()
}

#[test]
fn a_request_has_a_bounded_head_and_one_length() -> Result<()> {
    let mut network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let pages = Pages::open(&network)?;
    let lines = |count: usize| -> String { (0..count).map(|n| format!("X-{n}: 1\r\n")).collect() };
    // Host, Cookie and Connection are three of the lines.
    let full = pages.head("GET", "/healthz", &(lines(61) + CLOSE));
    ensure!(status(&pages.send(full)?) == Some(200), "64 header lines");
    for count in [62, 1_000] {
        let answer = pages.send(pages.head("GET", "/healthz", &(lines(count) + CLOSE)))?;
        ensure!(status(&answer) == Some(431), "{count}: {answer:.200}");
    }
    let long = format!("X: {}\r\n", "x".repeat(70_000));
    let answer = pages.send(pages.head("GET", "/healthz", &long))?;
    ensure!(status(&answer) == Some(431), "{answer:.200}");

    // Two readings of where a request ends are none: the second request never runs.
    let hidden = "GET /none HTTP/1.1\r\nHost: x\r\n\r\n";
    let length = hidden.len();
    for more in [
        format!("Content-Length: {length}\r\nContent-Length: 0\r\n"),
        "Content-Length: -1\r\n".to_owned(),
        "Content-Length: 1 1\r\n".to_owned(),
        "Content-Length: 99999999999999999999\r\n".to_owned(),
        "Transfer-Encoding: chunked, identity\r\n".to_owned(),
        "Transfer-Encoding : chunked\r\n".to_owned(),
        " folded: 1\r\n".to_owned(),
    ] {
        let request = format!("{}{hidden}", pages.head("POST", "/none", &more));
        let answer = pages.send(request)?;
        ensure!(status(&answer) == Some(400), "{more}: {answer:.300}");
        ensure!(
            answer.matches("HTTP/1.1 ").count() == 1,
            "{more}: two answers"
        );
    }
    // Both lengths at once: the chunks count, the other length does not, and what follows is not taken for a
    // second request of this connection.
    let both = format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n");
    let request = format!("{}0\r\n\r\n{hidden}", pages.head("POST", "/none", &both));
    let answer = pages.send(request)?;
    ensure!(
        answer.matches("HTTP/1.1 ").count() <= 2 && !answer.contains("200 OK"),
        "{answer:.300}"
    );
    let draft = "/drafts/00112233445566778899aabbccddeeff";
    let chunked =
        "Transfer-Encoding: chunked\r\nContent-Type: application/x-www-form-urlencoded\r\n";
    for chunk in ["ffffffffffffffffff\r\n", "-1\r\n", "g\r\n", "1;\r\r\n"] {
        let head = pages.head("POST", draft, &format!("{chunked}{CLOSE}"));
        let answer = pages.send(format!("{head}{chunk}kind=opinion&body=a\r\n0\r\n\r\n"))?;
        ensure!(status(&answer) == Some(400), "{chunk}: {answer:.300}");
    }
    pages.works()?;
    let home = pages.send(pages.head("GET", "/", CLOSE))?;
    ensure!(status(&home) == Some(200), "a broken request logged out");
    daemon.stop()?;
    network.hub_stops()
}

#[test]
fn who_sends_a_head_or_a_form_slowly_is_left_and_keeps_nobody_waiting() -> Result<()> {
    let mut network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let pages = Pages::open(&network)?;
    let slow: Vec<_> = (0..100)
        .map(|_| pages.stream(b"GET / HTTP/1.1\r\nHost: "))
        .collect::<Result<_>>()?;
    let bodies: Vec<_> = (0..20)
        .map(|_| {
            let more = "Content-Length: 500000\r\n\
                        Content-Type: application/x-www-form-urlencoded\r\n";
            pages.stream(
                pages
                    .head("POST", "/drafts/00112233445566778899aabbccddeeff", more)
                    .as_bytes(),
            )
        })
        .collect::<Result<_>>()?;
    let begun = now();
    pages.works()?;
    for mut stream in bodies {
        let mut answer = [0; 12];
        stream.read_exact(&mut answer)?;
        ensure!(
            answer == *b"HTTP/1.1 408",
            "a form that did not come was answered otherwise"
        );
    }
    for mut stream in slow {
        let mut answer = Vec::new();
        drop(stream.read_to_end(&mut answer));
    }
    ensure!(
        begun.elapsed() < Duration::from_secs(19),
        "slow heads and forms are kept for {:?}",
        begun.elapsed()
    );
    pages.works()?;
    daemon.stop()?;
    network.hub_stops()
}

#[test]
fn event_streams_are_bounded_and_pages_go_on() -> Result<()> {
    let mut network = Network::new()?;
    let daemon = network.station.run(LOOPBACK)?;
    let pages = Pages::open(&network)?;
    let mut open = Vec::new();
    let mut refused = 0;
    for _ in 0..70 {
        let mut stream = pages.stream(pages.head("GET", "/events", "").as_bytes())?;
        let mut head = [0; 64];
        let read = stream.read(&mut head)?;
        match status(&String::from_utf8_lossy(
            head.get(..read).unwrap_or_default(),
        )) {
            Some(200) => open.push(stream),
            Some(503) => refused += 1,
            other => bail!("{other:?}"),
        }
    }
    ensure!(
        (open.len(), refused) == (64, 6),
        "{} open, {refused} refused",
        open.len()
    );
    pages.works()?;
    open.clear();
    daemon.stop()?;
    network.hub_stops()
}

// ---- what made Automerge fall ----

/// Set for the child process that the test below starts of itself, with little memory.
const SMALL: &str = "LIANXIN_TEST_LITTLE_MEMORY";

/// Files of Automerge's own tests, beside the source that this program is built from.
fn automerge_files(folder: &str) -> Result<Vec<Vec<u8>>> {
    let lock = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.lock");
    let lock = std::fs::read_to_string(lock)?;
    let version = lock.split("name = \"automerge\"\nversion = \"").nth(1);
    let version = version.and_then(|rest| rest.split('"').next());
    let name = format!("automerge-{}", version.context("no automerge")?);
    let home = std::env::var_os("CARGO_HOME").map(std::path::PathBuf::from);
    let user = || std::env::home_dir().map(|home| home.join(".cargo"));
    let home = home.or_else(user).context("no cargo home")?;
    let mut files = Vec::new();
    for registry in std::fs::read_dir(home.join("registry/src"))? {
        let source = registry?.path().join(&name).join("tests").join(folder);
        let Ok(entries) = std::fs::read_dir(source) else {
            continue;
        };
        for entry in entries {
            files.push(std::fs::read(entry?.path())?);
        }
    }
    ensure!(
        !files.is_empty(),
        "no source of {name} under {}",
        home.display()
    );
    Ok(files)
}

#[test]
fn what_made_automerge_fall_is_judged_in_little_memory() -> Result<()> {
    if std::env::var_os(SMALL).is_none() {
        // 1.5 GB of addresses: a compressed megabyte made Automerge ask for twice as much.
        let script = "ulimit -v 1500000 && exec \"$0\" --exact \"$1\" --test-threads 1";
        let output = std::process::Command::new("sh")
            .args(["-c", script])
            .arg(std::env::current_exe()?)
            .arg("limits::what_made_automerge_fall_is_judged_in_little_memory")
            .env(SMALL, "1")
            .output()?;
        let said = String::from_utf8_lossy(&output.stdout);
        ensure!(
            output.status.success(),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        ensure!(said.contains("1 passed"), "{said}");
        return Ok(());
    }
    let (crashers, fixtures) = (
        automerge_files("fuzz-crashers")?,
        automerge_files("fixtures")?,
    );
    ensure!(
        (crashers.len(), fixtures.len()) == (8, 9),
        "other files than were known"
    );
    let mut single = 0;
    for file in crashers.iter().chain(&fixtures) {
        single += u32::from(digest_of_change(file).is_ok());
        // Wherever a chunk may begin, what follows stands there as the content of a change as well.
        for at in 0..file.len().min(300) {
            let rest = file.get(at..).unwrap_or_default();
            fuzz::change(&[&[255], rest].concat());
            fuzz::change(&[&[0, 0, 0, 0xff, 0xff], rest].concat());
        }
    }
    ensure!(
        single == 5,
        "{single} files are single uncompressed changes"
    );
    Ok(())
}

// ---- a day ----

const DAY_MS: u64 = 86_400_000;

/// Records of a device that the hub has.
fn arrived(world: &mut World, ids: &[String]) -> Result<usize> {
    let mut arrived = 0;
    for id in ids {
        arrived += usize::from(world.has(HUB, id)?);
    }
    Ok(arrived)
}

#[test]
fn a_hub_takes_of_a_device_what_it_may_send_in_a_day_and_the_rest_another_day() -> Result<()> {
    const LOUD: usize = 1;
    const QUIET: usize = 2;
    let mut world = World::with_stations(3, 2)?;
    world.heal()?;
    let device = world.node(LOUD)?.key;
    let hub = &world.writer(HUB)?.journal;
    let members = hub.authority();
    let member = members.members().get(&device).context("no member")?;
    let grant = Grant {
        serial: members.next_serial(),
        bytes_per_day: 1,
        places: hub.places_of(&device),
        ..member.grant.clone()
    };
    world.order(&Order::Grant(grant))?;
    let mut today = 20_000 * DAY_MS;
    world.set_clock(HUB, today)?;
    world.heal()?;
    let (mut loud, mut quiet) = (Vec::new(), Vec::new());
    for nth in 0..60 {
        loud.push(world.add(LOUD, &format!("loud-{nth}"))?.0);
        quiet.push(world.add(QUIET, &format!("quiet-{nth}"))?.0);
    }
    // It rests: what is refused is not sent again and again. One batch a day passes a bound of one byte.
    world.heal()?;
    let first = arrived(&mut world, &loud)?;
    ensure!(first > 0 && first < loud.len(), "{first} arrived");
    ensure!(arrived(&mut world, &quiet)? == quiet.len());
    // Nor does asking again help, on that day.
    world.heal()?;
    ensure!(arrived(&mut world, &loud)? == first);
    // Over a line that stays open the next record of another day brings the rest along.
    world.link(LOUD, HUB, Wire::GOOD)?;
    world.run()?;
    ensure!(arrived(&mut world, &loud)? == first);
    today += DAY_MS;
    world.set_clock(HUB, today)?;
    loud.push(world.add(LOUD, "loud-tomorrow")?.0);
    world.run()?;
    ensure!(arrived(&mut world, &loud)? > first, "nothing more came");
    world.claims_hold(&[LOUD, QUIET])?;
    for _ in 0..loud.len() {
        if arrived(&mut world, &loud)? == loud.len() {
            break;
        }
        today += DAY_MS;
        world.set_clock(HUB, today)?;
        world.heal()?;
    }
    ensure!(arrived(&mut world, &loud)? == loud.len());
    world.heal()?;
    world.agree(&[HUB, LOUD, QUIET])
}

#[test]
fn of_a_device_that_begins_log_after_log_no_more_is_taken_that_day() -> Result<()> {
    const LOUD: usize = 1;
    let mut world = World::with_stations(4, 1)?;
    for node in [HUB, LOUD] {
        world.set_clock(node, 20_000 * DAY_MS)?;
    }
    world.heal()?;
    let key = world.node(LOUD)?.key;
    let before = world.logs_of(HUB, &key)?.len();
    for _ in 0..limits::LOGS_A_DAY + 8 {
        // A disk that is put back at each start.
        world.save(LOUD, "as it was")?;
        world.add(LOUD, "again")?;
        world.heal()?;
        world.load(LOUD, "as it was", |name| name != "offered")?;
    }
    let begun = world.logs_of(HUB, &key)?.len() - before;
    ensure!(
        begun > 0 && begun <= usize::try_from(limits::LOGS_A_DAY)?,
        "{begun} logs"
    );
    // The first times that it began anew it was given another code.
    let members = world.writer(HUB)?.journal.authority().members();
    let code = members.get(&key).map(|it| it.grant.device_code.clone());
    let status = Query::Status {
        unreceipted_minutes: 60,
    };
    let told = world.reply(HUB, status.clone())?;
    let look = json!([{ "device": code, "reason": "over_quota" }]);
    ensure!(
        told.value.get("unusual") == Some(&look) && told.exit == 1,
        "{}",
        told.value
    );
    for node in [HUB, LOUD] {
        world.set_clock(node, 20_001 * DAY_MS)?;
    }
    ensure!(world.reply(HUB, status)?.value.get("unusual") == Some(&json!([])));
    world.add(LOUD, "tomorrow")?;
    world.heal()?;
    ensure!(world.logs_of(HUB, &key)?.len() > before + begun);
    Ok(())
}
