//! Replies as text for people. Data goes to standard output, one fact a line; JSON is for programs.

use serde_json::{Map, Value};

use crate::clock;
use crate::wide;

/// A reply as text.
pub(super) fn text(value: &Value) -> String {
    let schema = value
        .get("schema")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let name = schema.trim_start_matches("lianxin.").trim_end_matches("/1");
    let value = &by_the_clock(value.clone());
    let text = match name {
        "record-list" => record_list(value),
        "request-list" => request_list(value),
        "record-kinds" => kind_list(value),
        "account-list" => account_list(value),
        "conflict-list" => conflict_list(value),
        "conflict-show" => conflict_show(value),
        "quarantine-list" => quarantine_list(value),
        "quarantine-show" => quarantine_show(value),
        "record-add" => record_add(value),
        "record-history" => history(value),
        "record-names" => listed(value, "names", &["name", "records", "kinds", "example"]),
        "inbox" => listed(
            value,
            "messages",
            &["at", "what", "number", "kind", "about"],
        ),
        "status" => status(value),
        "hub-init" => hub_init(value),
        "hub-resume" => format!(
            "this hub gives orders again: certificate {}, {} entries before it go on to hold\n",
            number(value, "certificate"),
            number(value, "trusted"),
        ),
        "join" => join(value),
        "invite-create" => invite(value),
        "invite-list" => invite_list(value),
        "site-list" => site_list(value),
        "hub-address" | "peer-add" => addresses(value),
        "verify" => verify(value),
        "report" => report(value),
        "config-show" => config_show(value),
        "sync" => sync(value),
        "store-refill" => refill(value),
        _ => facts(value),
    };
    if value.get("requested").and_then(Value::as_bool) == Some(true) {
        return format!(
            "{text}\nasked of the hub; it counts once `lianxin request list` says done\n"
        );
    }
    text
}

/// The same with every moment by the clock on the wall in Beijing. Moments stand under `at`, `…_at` and `last_seen`.
fn by_the_clock(value: Value) -> Value {
    let shown = |(key, value): (String, Value)| {
        let moment = key == "at" || key.ends_with("_at") || key == "last_seen";
        let at = value.as_str().filter(|_| moment).and_then(clock::unix_ms);
        let value = match at {
            Some(at) => Value::from(clock::Beijing::of(at).text()),
            None => by_the_clock(value),
        };
        (key, value)
    };
    match value {
        Value::Object(fields) => fields.into_iter().map(shown).collect::<Map<_, _>>().into(),
        Value::Array(items) => items.into_iter().map(by_the_clock).collect(),
        value => value,
    }
}

fn kind_list(value: &Value) -> String {
    let mut rows = vec![["KIND", "名称", "NAME"].map(ToOwned::to_owned).to_vec()];
    for kind in items(value, "kinds") {
        rows.push(
            ["kind", "zh", "en"]
                .map(|key| str(kind, key).to_owned())
                .to_vec(),
        );
    }
    table(&rows)
}

fn request_list(value: &Value) -> String {
    let header = ["WHEN", "DEVICE", "WHAT", "OUTCOME"].map(ToOwned::to_owned);
    let mut rows = vec![header.to_vec()];
    for request in items(value, "requests") {
        let what = ["event", "site", "device_code"]
            .into_iter()
            .find(|key| request.get(key).is_some())
            .unwrap_or_default();
        let outcome = match (str(request, "outcome"), str(request, "code")) {
            ("–", _) => "open".to_owned(),
            ("refused", code) => format!("refused: {code}"),
            (outcome, _) => outcome.to_owned(),
        };
        let about = match what {
            "event" => format!("{} {}", str(request, what), str(request, "record")),
            "site" => format!("site {}", str(request, what)),
            _ => format!("invite {}", str(request, what)),
        };
        rows.push(vec![
            str(request, "at").to_owned(),
            str(request, "device").to_owned(),
            about,
            outcome,
        ]);
    }
    if rows.len() == 1 {
        return "no requests\n".to_owned();
    }
    table(&rows)
}

fn invite_list(value: &Value) -> String {
    /// A moment has them all; of a device's key this is the beginning, as pages show it.
    const CELL_CHARS: usize = 16;
    let header = [
        "ID", "SITE", "DEVICE", "ROLE", "STATE", "USED", "BY", "EXPIRES",
    ];
    let mut rows = vec![header.map(ToOwned::to_owned).to_vec()];
    for invite in items(value, "invites") {
        let keys = [
            "id",
            "site",
            "device_code",
            "role",
            "state",
            "used_at",
            "used_by",
            "expires_at",
        ];
        let cell = |key| str(invite, key).chars().take(CELL_CHARS).collect();
        rows.push(keys.map(cell).to_vec());
    }
    if rows.len() == 1 {
        return "no invites\n".to_owned();
    }
    table(&rows)
}

fn site_list(value: &Value) -> String {
    let header = ["CODE", "KIND", "DEVICES", "NAME"].map(ToOwned::to_owned);
    let mut rows = vec![header.to_vec()];
    for site in items(value, "sites") {
        rows.push(vec![
            str(site, "code").to_owned(),
            str(site, "kind").to_owned(),
            number(site, "devices").to_string(),
            str(site, "name").to_owned(),
        ]);
    }
    if rows.len() == 1 {
        return "no sites: make one with `lianxin site create`\n".to_owned();
    }
    table(&rows)
}

/// One a line, the first of them looked for first.
fn addresses(value: &Value) -> String {
    let all = items(value, "addresses").filter_map(Value::as_str);
    let lines: String = all.map(|address| format!("{address}\n")).collect();
    if lines.is_empty() {
        return "none yet: it is known once `lianxin run` has run\n".to_owned();
    }
    lines
}

fn account_list(value: &Value) -> String {
    let header = ["NAME", "ROLES", "ACCOUNT"].map(ToOwned::to_owned);
    let mut rows = vec![header.to_vec()];
    for account in items(value, "accounts") {
        let roles: Vec<_> = items(account, "roles").filter_map(Value::as_str).collect();
        rows.push(vec![
            str(account, "name").to_owned(),
            roles.join(" "),
            str(account, "account").to_owned(),
        ]);
    }
    table(&rows)
}

fn quarantine_list(value: &Value) -> String {
    let header = ["ID", "DEVICE", "ENTRIES", "RECORDS", "WHY"].map(ToOwned::to_owned);
    let mut rows = vec![header.to_vec()];
    for held in items(value, "entries") {
        rows.push(vec![
            str(held, "id").to_owned(),
            str(held, "device").to_owned(),
            (number(held, "to") - number(held, "from")).to_string(),
            number(held, "records").to_string(),
            str(held, "reason").to_owned(),
        ]);
    }
    if rows.len() == 1 {
        return "nothing is held back\n".to_owned();
    }
    table(&rows)
}

fn quarantine_show(value: &Value) -> String {
    let mut rows = vec![
        ["RECORD", "KIND", "NUMBER", "TITLE"]
            .map(ToOwned::to_owned)
            .to_vec(),
    ];
    for record in items(value, "records") {
        let cells = ["id", "kind", "number", "title"];
        rows.push(cells.map(|cell| str(record, cell).to_owned()).to_vec());
    }
    table(&rows)
}

fn str<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or("–")
}

fn number(value: &Value, key: &str) -> u64 {
    value.get(key).and_then(Value::as_u64).unwrap_or_default()
}

fn items<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value
        .get(key)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Rows with aligned columns.
fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        for (index, cell) in row.iter().enumerate() {
            match widths.get_mut(index) {
                Some(width) => *width = (*width).max(wide::width(cell)),
                None => widths.push(wide::width(cell)),
            }
        }
    }
    let mut out = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(
                ' ',
                width.saturating_sub(wide::width(cell)) + 2,
            ));
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out
}

fn record_list(value: &Value) -> String {
    let header = ["NUMBER", "STATE", "STATUS", "TITLE"]
        .map(str::to_owned)
        .to_vec();
    let mut rows = vec![header];
    for record in items(value, "records") {
        let conflict = if number(record, "conflicts") > 0 {
            " (conflict)"
        } else {
            ""
        };
        rows.push(vec![
            str(record, "number").to_owned(),
            str(record, "state").to_owned(),
            format!("{}{conflict}", str(record, "status")),
            str(record, "title").to_owned(),
        ]);
    }
    if rows.len() == 1 {
        return "no records\n".to_owned();
    }
    let next = value.get("next").and_then(Value::as_str);
    let more = next
        .map(|next| format!("more: --after {next}\n"))
        .unwrap_or_default();
    format!("{}{more}", table(&rows))
}

fn conflict_list(value: &Value) -> String {
    let mut rows = vec![
        ["NUMBER", "SINCE", "FIELDS", "TITLE"]
            .map(ToOwned::to_owned)
            .to_vec(),
    ];
    for record in items(value, "records") {
        let fields: Vec<_> = items(record, "fields").filter_map(Value::as_str).collect();
        let name = match record.get("number").and_then(Value::as_str) {
            Some(number) => number,
            None => str(record, "id"),
        };
        rows.push(vec![
            name.to_owned(),
            str(record, "since_at").to_owned(),
            fields.join(" "),
            str(record, "title").to_owned(),
        ]);
    }
    if rows.len() == 1 {
        return "no conflicts\n".to_owned();
    }
    let next = value.get("next").and_then(Value::as_str);
    let more = next
        .map(|next| format!("more: --after {next}\n"))
        .unwrap_or_default();
    format!("{}{more}", table(&rows))
}

fn conflict_show(value: &Value) -> String {
    let mut out = String::new();
    for conflict in items(value, "conflicts") {
        out.push_str(&format!("{}\n", str(conflict, "field")));
        for (place, said) in (1..).zip(items(conflict, "values")) {
            let mine = match said.get("mine") {
                Some(Value::Bool(true)) => "mine",
                _ => "theirs",
            };
            let words = match said.get("value") {
                Some(Value::String(words)) => words.clone(),
                Some(Value::Null) | None => "(cleared)".to_owned(),
                Some(other) => other.to_string(),
            };
            let (device, at) = (str(said, "device"), str(said, "at"));
            out.push_str(&format!("  {place}  {mine}  {device}  {at}  {words}\n"));
        }
    }
    if out.is_empty() {
        return "no conflicts\n".to_owned();
    }
    out.push_str("next: lianxin conflict resolve ID --field FIELD --take mine|theirs|both|1\n");
    out
}

fn record_add(value: &Value) -> String {
    let mut out = String::new();
    for record in items(value, "records") {
        out.push_str(&format!(
            "{}  {}\n",
            str(record, "number"),
            str(record, "state")
        ));
    }
    for refusal in items(value, "refused") {
        let (row, field) = (number(refusal, "row"), str(refusal, "field"));
        let message = str(refusal, "message");
        out.push_str(&format!(
            "row {row}, {field}: {message} ({})\n",
            str(refusal, "code")
        ));
    }
    for odd in items(value, "at_odds") {
        let (row, field) = (number(odd, "row"), str(odd, "field"));
        let (message, code) = (str(odd, "message"), str(odd, "code"));
        out.push_str(&format!("note: row {row}, {field}: {message} ({code})\n"));
    }
    out
}

fn history(value: &Value) -> String {
    let mut rows = vec![
        ["WHEN", "DEVICE", "ACCOUNT", "FIELDS"]
            .map(str::to_owned)
            .to_vec(),
    ];
    for change in items(value, "changes") {
        let fields: Vec<_> = items(change, "values").map(was).collect();
        let steps: Vec<_> = items(change, "steps").filter_map(Value::as_str).collect();
        let events = match steps.is_empty() {
            true => String::new(),
            false => format!(" +{}", steps.join(" +")),
        };
        rows.push(vec![
            str(change, "at").to_owned(),
            str(change, "device").to_owned(),
            str(change, "account").to_owned(),
            format!("{}{events}", fields.join(" ")),
        ]);
    }
    table(&rows)
}

/// What a change did to a field: what stood there, if anything did, and what does since.
fn was(value: &Value) -> String {
    let field = str(value, "field");
    let said = |key: &str| value.get(key).filter(|it| !it.is_null()).map(brief);
    let void = match value.get("void") {
        Some(Value::Bool(true)) => " (without effect)",
        _ => "",
    };
    match (said("old"), said("new")) {
        (Some(old), Some(new)) => format!("{field}: {old} → {new}{void}"),
        (Some(old), None) => format!("{field}: {old} → –{void}"),
        // What a record began with stands in it.
        (None, _) => format!("{field}{void}"),
    }
}

/// A value in a cell of a table.
fn brief(value: &Value) -> String {
    const CHARS: usize = 24;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(brief).collect::<Vec<_>>().join(" "),
        other => other.to_string(),
    };
    let mut brief: String = text.chars().take(CHARS).collect();
    if brief.len() < text.len() {
        brief.push('…');
    }
    brief
}

/// A table of these members of the items of a list.
fn listed(value: &Value, list: &str, columns: &[&str]) -> String {
    let head = columns.iter().map(|it| it.to_uppercase()).collect();
    let cell = |item: &Value, key: &str| match item.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(Value::as_str)
            .collect::<Vec<_>>()
            .join(" "),
        Some(other) => other.to_string(),
    };
    let row = |item: &Value| columns.iter().map(|key| cell(item, key)).collect();
    let rows: Vec<Vec<String>> = std::iter::once(head)
        .chain(items(value, list).map(row))
        .collect();
    table(&rows)
}

fn status(value: &Value) -> String {
    let age = value.get("oldest_unreceipted_s").and_then(Value::as_u64);
    let age = age
        .map(|age| format!(", the oldest for {}", duration(age)))
        .unwrap_or_default();
    let mut out = format!(
        "{} {} of {} ({})\n",
        str(value, "role"),
        str(value, "device_code"),
        str(value, "name"),
        str(value, "network").get(..8).unwrap_or_default(),
    );
    out.push_str(&format!("records      {}\n", number(value, "records")));
    out.push_str(&format!(
        "un-receipted {}{age}\n",
        number(value, "unreceipted")
    ));
    let open = number(value, "requests");
    if open > 0 {
        out.push_str(&format!("requests     {open} wait for the hub\n"));
    }
    out.push_str(&format!("conflicts    {}\n", number(value, "conflicts")));
    out.push_str(&format!("quarantined  {}\n", number(value, "quarantined")));
    for warning in items(value, "warnings") {
        out.push_str(&format!(
            "look at      {} {}\n             {}\n",
            str(warning, "code"),
            str(warning, "message"),
            str(warning, "hint"),
        ));
    }
    for peer in items(value, "peers") {
        out.push_str(&format!(
            "peer         {} ({}) last seen {} at {}\n",
            str(peer, "device"),
            str(peer, "role"),
            str(peer, "last_seen"),
            str(peer, "path"),
        ));
    }
    out.push_str(&format!("version      {}\n", str(value, "version")));
    out
}

fn duration(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7_199 => format!("{} min", seconds / 60),
        7_200..=172_799 => format!("{} h", seconds / 3_600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn hub_init(value: &Value) -> String {
    let mut out = format!(
        "network      {}\nhub          {}  fingerprint {}\n",
        str(value, "network").get(..16).unwrap_or_default(),
        str(value, "device_code"),
        str(value, "fingerprint"),
    );
    match value.get("recovery") {
        Some(card) => {
            let card = format!("{card:#}");
            out.push_str(
                "\nRecovery card: print it, keep it off this computer. It is not shown again.\n",
            );
            out.push_str(&card);
            out.push('\n');
        }
        None => out.push_str("recovery card written; keep it off this computer\n"),
    }
    out.push_str("\nnext: lianxin site create, lianxin invite create, lianxin run\n");
    out
}

fn join(value: &Value) -> String {
    let words: Vec<_> = items(value, "words").filter_map(Value::as_str).collect();
    let mut out = format!(
        "this device  {} at {}\n",
        str(value, "device_code"),
        str(value, "site")
    );
    let waits = value.get("confirmed") != Some(&Value::Bool(true));
    if waits {
        out.push_str("the hub has not confirmed it yet; recording can begin\n");
    }
    if !words.is_empty() {
        out.push_str(&format!("compare with the hub: {}\n", words.join(" · ")));
    }
    if let Some(request) = value.get("request").and_then(Value::as_str) {
        out.push_str(&format!(
            "\ncarry {request} to the hub: lianxin invite admit {request} --out grant.lianxin\nand its answer back:  lianxin join --grant grant.lianxin\n"
        ));
    }
    out.push_str("\nnext: lianxin run\n");
    out
}

fn invite(value: &Value) -> String {
    let addresses: Vec<_> = items(value, "hub_addresses")
        .filter_map(Value::as_str)
        .collect();
    let hub = addresses
        .first()
        .map(|hub| format!(" --hub {hub}"))
        .unwrap_or_default();
    format!(
        "invite       {}\ndevice       {}\nexpires      {}\n\nat the device: lianxin join {}{hub}\n",
        str(value, "invite"),
        str(value, "device_code"),
        str(value, "expires_at"),
        str(value, "invite"),
    )
}

fn proof(value: &Value) -> String {
    let mut out = format!(
        "{} figures recounted over {} records; {} entries compared with the store, {} not in it\n",
        number(value, "figures"),
        number(value, "records"),
        number(value, "entries"),
        number(value, "absent"),
    );
    for fault in items(value, "bad") {
        out.push_str(&format!("bad: {}\n", fault.as_str().unwrap_or_default()));
    }
    out
}

/// Its tables, each under its name, in codes: whoever wants words takes `--format html` or csv.
fn report(value: &Value) -> String {
    let mut out = format!(
        "{} {} to {} as of {}, definitions {}\n",
        str(value, "report"),
        str(value, "from"),
        str(value, "to"),
        str(value, "as_of"),
        number(value, "definitions"),
    );
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut last = "";
    for row in items(value, "rows").filter_map(Value::as_object) {
        let name = row.get("table").and_then(Value::as_str).unwrap_or_default();
        if name != last {
            out.push_str(&table(&std::mem::take(&mut rows)));
            out.push_str(&format!("\n{name}\n"));
            last = name;
            rows.push(row.keys().skip(1).map(|key| key.to_uppercase()).collect());
        }
        rows.push(row.values().skip(1).map(cell).collect());
    }
    out.push_str(&table(&rows));
    for note in items(value, "notes") {
        out.push_str(&format!(
            "\n{}: {}\n",
            str(note, "note"),
            number(note, "count")
        ));
    }
    out
}

/// A cell of a report.
fn cell(value: &Value) -> String {
    match value {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.clone(),
        Value::Object(ratio) => format!(
            "{}/{}",
            ratio.get("n").unwrap_or(&Value::Null),
            ratio.get("of").unwrap_or(&Value::Null)
        ),
        other => other.to_string(),
    }
}

fn verify(value: &Value) -> String {
    if value.get("figures").is_some() {
        return proof(value);
    }
    if value.get("rows").is_some() {
        let mut bad = items(value, "bad").filter_map(Value::as_str);
        return match bad.next() {
            Some(bad) => format!("BAD {bad}\n"),
            None => format!("{} rows are as they were exported\n", number(value, "rows")),
        };
    }
    let mut out = format!(
        "{} entries, {} checkpoints, {} receipts hold\n",
        number(value, "entries"),
        number(value, "checkpoints"),
        number(value, "receipts"),
    );
    if value.get("network").is_some_and(Value::is_string) {
        out.push_str(&format!(
            "{} payloads absent, {} forks proven\nnetwork {}\nwritten by {} at {} (claimed)\n",
            number(value, "absent"),
            number(value, "forks"),
            str(value, "network"),
            str(value, "device"),
            str(value, "taken_at"),
        ));
    }
    if value.get("changes").is_some() {
        let (counted, changes) = (number(value, "counted"), number(value, "changes"));
        out.push_str(&format!("{counted} of {changes} changes count\n"));
    }
    for range in items(value, "withheld") {
        out.push_str(&format!(
            "does not count: log {:.16} from entry {} to before {}: {}\n",
            str(range, "log"),
            number(range, "from"),
            number(range, "to"),
            str(range, "reason"),
        ));
    }
    for bad in items(value, "bad").filter_map(Value::as_str) {
        out.push_str(&format!("BAD {bad}\n"));
    }
    out
}

fn refill(value: &Value) -> String {
    let mut out = format!(
        "the store that was there is kept in {}\nthe new one has {} entries of {} logs\n",
        str(value, "set_aside"),
        number(value, "entries"),
        number(value, "logs"),
    );
    for lacking in items(value, "lacking") {
        let own = lacking.get("own").and_then(Value::as_bool) == Some(true);
        let (log, own) = (
            str(lacking, "log"),
            if own { " of this device" } else { "" },
        );
        let (from, to) = (number(lacking, "from"), number(lacking, "to"));
        if from < to {
            let last = to.saturating_sub(1);
            out.push_str(&format!(
                "not found    log {log}{own}, entries {from} to {last}\n"
            ));
        }
        let texts = number(lacking, "texts");
        if texts > 0 {
            out.push_str(&format!(
                "not found    log {log}{own}, the texts of {texts} entries\n"
            ));
        }
    }
    for table in items(value, "lost").filter_map(Value::as_str) {
        out.push_str(&format!("not all of   {table}\n"));
    }
    if let Some(why) = value.get("unreached").and_then(Value::as_str) {
        out.push_str(&format!("nobody was asked: {why}\n"));
    }
    if value.get("needs_card").and_then(Value::as_bool) == Some(true) {
        out.push_str("next: start lianxin run, then lianxin hub resume --card FILE\n");
    }
    out
}

fn config_show(value: &Value) -> String {
    let mut rows = vec![["KEY", "VALUE", "FROM"].map(str::to_owned).to_vec()];
    for entry in items(value, "values") {
        let shown = match entry.get("value") {
            Some(Value::Array(none)) if none.is_empty() => "none".to_owned(),
            None | Some(Value::Null) => "by the role".to_owned(),
            Some(value) => plain(value),
        };
        let from = match str(entry, "origin") {
            "default" => "default",
            _ => str(entry, "from"),
        };
        rows.push(vec![str(entry, "key").to_owned(), shown, from.to_owned()]);
    }
    table(&rows)
}

fn sync(value: &Value) -> String {
    let mut out = String::new();
    for session in items(value, "sessions") {
        out.push_str(&format!(
            "sent {} entries, received {}, receipts for {} of {} ({} ms, {} B out, {} B in)\n",
            number(session, "sent"),
            number(session, "received"),
            number(session, "receipted"),
            number(session, "entries"),
            number(session, "elapsed_ms"),
            number(session, "frame_bytes_out"),
            number(session, "frame_bytes_in"),
        ));
        if session.get("in_sync") == Some(&Value::Bool(false)) {
            out.push_str(
                "the two do not hold the same: a log that forked, or the line broke too early\n",
            );
        }
    }
    if out.is_empty() {
        out.push_str("this device follows no hub\n");
    }
    out
}

/// Any other object: one key a line, nested ones indented.
fn facts(value: &Value) -> String {
    let mut out = String::new();
    if let Value::Object(fields) = value {
        lines(fields, 0, &mut out);
    }
    out
}

fn lines(fields: &Map<String, Value>, depth: usize, out: &mut String) {
    for (key, value) in fields.iter().filter(|(key, _)| *key != "schema") {
        let indent = "  ".repeat(depth);
        match value {
            Value::Object(inner) => {
                out.push_str(&format!("{indent}{key}\n"));
                lines(inner, depth + 1, out);
            }
            Value::Array(all) if all.iter().any(Value::is_object) => {
                out.push_str(&format!("{indent}{key}\n"));
                for item in all {
                    match item {
                        Value::Object(inner) => {
                            out.push_str(&format!("{indent}  -\n"));
                            lines(inner, depth + 2, out);
                        }
                        other => out.push_str(&format!("{indent}  - {}\n", plain(other))),
                    }
                }
            }
            Value::Null => {}
            Value::Array(none) if none.is_empty() => {}
            other => out.push_str(&format!("{indent}{key:<14} {}\n", plain(other))),
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}
