//! The story: what clerks, an operator and the hub do in some days, played against the real stores.

use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};

use super::{Device, LOOPBACK, Network, PATIENCE, Plan, field, is, samples, year};
use crate::cli::{Output, complain, runtime, say};
use crate::command::{Query, Write};
use crate::error::{Code, Kind, Result};
use crate::reply::{Reply, with_schema};

/// Plays it, and says of every step whether it held.
pub(super) fn play(dir: &Path, plan: &Plan<'_>, output: &Output) -> Result<u8> {
    let mut story = Story { steps: Vec::new() };
    let told = runtime()?.block_on(story.tell(dir));
    if let Err(error) = &told {
        story.step("the story went on to its end", false);
        complain(&format!("lianxin: {}\n", error.chain()));
    }
    let held = story.steps.iter().all(|(_, ok)| *ok);
    let steps: Vec<_> = story
        .steps
        .iter()
        .map(|(name, ok)| json!({ "name": name, "ok": ok }))
        .collect();
    let value = with_schema("lianxin.demo/1", json!({ "steps": steps }));
    if output.json {
        output.print(&Reply { value, exit: 0 })?;
    } else if plan.check {
        for (name, ok) in &story.steps {
            say(&format!("{} {name}\n", if *ok { "ok  " } else { "FAIL" }))?;
        }
    }
    Ok(if held { 0 } else { Kind::Failed.exit_code() })
}

struct Story {
    steps: Vec<(String, bool)>,
}

impl Story {
    fn step(&mut self, name: &str, ok: bool) {
        self.steps.push((name.to_owned(), ok));
    }

    async fn tell(&mut self, dir: &Path) -> Result<()> {
        let mut network = Network::make(dir).await?;
        let told = self.play(&mut network).await;
        network.stop().await;
        told
    }

    async fn play(&mut self, network: &mut Network) -> Result<()> {
        let address = network.address.clone();
        for device in [
            &network.station,
            &network.other,
            &network.office,
            &network.desk,
        ] {
            let joined = format!("{} joins with a single-use invite", device.code);
            self.step(&joined, !device.code.is_empty());
        }
        let Network {
            hub,
            station,
            other,
            desk,
            office,
            ..
        } = network;
        desk.start(LOOPBACK)?;
        station.start(LOOPBACK)?;
        other.start(LOOPBACK)?;
        let lamp = samples::opinions().into_iter().next().unwrap_or_default();
        let added = station.add(lamp).await?;
        let id = field(&added, "id").to_owned();
        let number = field(&added, "number").to_owned();
        self.step(
            &format!("recorded without a line as {number}"),
            field(&added, "state") == "saved",
        );
        let unknown = hub
            .show(&id)
            .await
            .is_err_and(|error| error.code() == Code::NoRecord);
        self.step(
            "the hub does not have it, and the station does not claim so",
            unknown,
        );

        for device in [&*desk, &*station, &*other] {
            let node = device.node()?;
            let hub_key = hub.node()?.net.device;
            node.follow(vec![address.clone()], hub_key);
        }
        let seen = hub
            .until(&id, |record| field(record, "number") == number)
            .await?;
        self.step("the hub lists it", seen);
        let merged = station.until(&id, is("state", "merged")).await?;
        self.step("a signed receipt came back and verifies: 中心可查", merged);
        let record = station.show(&id).await?;
        let covered = record
            .get("receipts")
            .and_then(Value::as_array)
            .is_some_and(|it| !it.is_empty());
        self.step("the record names the receipt that covers it", covered);
        let pending = field(&record, "status") == "pending";
        self.step("its status has become 待受理 by the receipt alone", pending);

        let there = other
            .until(&id, |record| field(record, "number") == number)
            .await?;
        self.step("the second computer has the record", there);
        self.conflict(hub, station, other, (&id, &address)).await?;

        let there = desk.until(&id, is("status", "pending")).await?;
        self.step("the operator's PC has the record and its status", there);
        desk.act(&id, "accept", json!({})).await?;
        let accepted = desk.until(&id, is("status", "accepted")).await?;
        self.step(
            "the hub gives the case number the operator asked for",
            accepted,
        );
        self.handled(hub, desk, station, &id).await?;
        self.law(hub, station, office, &address).await?;
        let places = year::Places {
            hub: &*hub,
            station: &*station,
            other: &*other,
            office: &*office,
        };
        self.year(places, desk).await?;
        // An operator's PC puts its letter behind the numbers it gives.
        let sheet = format!("{number}/Z1B");
        let replied = station.until(&sheet, is("status", "replied")).await?;
        self.step(
            "the station sees the sheet of the unit that handled it",
            replied,
        );

        self.sound(&[hub, desk, station, other]).await
    }

    /// Two computers choose differently while apart, and the hub settles it.
    async fn conflict(
        &mut self,
        hub: &Device,
        station: &mut Device,
        other: &Device,
        (id, address): (&str, &str),
    ) -> Result<()> {
        station.stop().await;
        station.start(LOOPBACK)?;
        station.set(id, json!({ "urgency": "urgent" })).await?;
        other
            .set(id, json!({ "urgency": "emergency_referred" }))
            .await?;
        let hub_key = hub.node()?.net.device;
        station.node()?.follow(vec![address.to_owned()], hub_key);
        let conflicted = |record: &Value| {
            let conflicts = record.get("conflicts").and_then(Value::as_array);
            conflicts.is_some_and(|all| all.iter().any(|it| field(it, "field") == "urgency"))
        };
        let mut all = true;
        for device in [hub, &*station, other] {
            all &= device.until(id, conflicted).await?;
        }
        self.step("all three show the conflict with both values", all);
        hub.set(id, json!({ "urgency": "urgent" })).await?;
        let mut all = true;
        for device in [&*station, other] {
            all &= device.until(id, |record| !conflicted(record)).await?;
        }
        self.step("the hub's choice settles it everywhere", all);
        Ok(())
    }

    /// The operator has the matter handled, and the station tells the resident.
    async fn handled(
        &mut self,
        hub: &Device,
        desk: &Device,
        station: &Device,
        id: &str,
    ) -> Result<()> {
        let steps = [
            (
                "dispatch",
                json!({ "lead": "示例街道城市管理办公室", "due_on": "2099-04-15" }),
            ),
            ("sign", json!({})),
            (
                "submit_reply",
                json!({ "resolution": "solved", "text": "两盏路灯已更换灯头并试亮。" }),
            ),
            ("approve", json!({})),
        ];
        for (event, input) in steps {
            desk.act(id, event, input).await?;
        }
        let answered = station.until(id, is("status", "answered")).await?;
        self.step("the station sees the reply: 已答复", answered);
        let refused = station.act(id, "dispatch", json!({ "lead": "x" })).await;
        let refused = refused.is_err_and(|error| error.code() == Code::StepRefused);
        self.step("the station cannot dispatch", refused);
        station
            .act(id, "inform", json!({ "on": "2026-03-14", "way": "phone" }))
            .await?;
        let informed = hub.until(id, is("status", "informed")).await?;
        self.step(
            "the station tells the resident, and the hub knows: 已反馈",
            informed,
        );
        Ok(())
    }

    /// All hold and show the same, and what they hold verifies at the first.
    async fn sound(&mut self, devices: &[&Device]) -> Result<()> {
        let Some(hub) = devices.first() else {
            return Ok(());
        };
        let equal = self.equal(devices).await?;
        self.step(
            "digests of the station's space are equal on all four",
            equal,
        );
        let verified = hub.call(Query::Verify).await?;
        let bad = verified
            .get("bad")
            .and_then(Value::as_array)
            .is_none_or(|bad| !bad.is_empty());
        self.step("every chain, checkpoint and payload verifies", !bad);
        let before = hub.digest().await?;
        hub.call(Write::Reproject).await?;
        let same = hub.digest().await? == before;
        self.step("lists rebuilt from the logs are identical", same);
        Ok(())
    }

    /// A draft law goes to every site, what is said of it comes back, and a reception gathers what it heard.
    async fn law(
        &mut self,
        hub: &Device,
        station: &Device,
        office: &mut Device,
        address: &str,
    ) -> Result<()> {
        office.start(LOOPBACK)?;
        year::registers(hub).await?;
        let published = hub.add(samples::consultation()).await?;
        let (law, number) = (field(&published, "id"), field(&published, "number"));
        hub.act(law, "open", json!({})).await?;
        let hub_key = hub.node()?.net.device;
        office.node()?.follow(vec![address.to_owned()], hub_key);
        let articles = |record: &Value| {
            let articles = record.pointer("/fields/articles").and_then(Value::as_array);
            field(record, "status") == "open" && articles.is_some_and(|all| all.len() == 3)
        };
        let mut all = true;
        for site in [station, &*office] {
            all &= site.until(law, articles).await?;
        }
        self.step("a draft law is at every site, article by article", all);
        let day = station.add(samples::reception()).await?;
        let day = field(&day, "number");
        let mut said = samples::opinions().pop().unwrap_or_default();
        if let Value::Object(fields) = &mut said {
            fields.insert("source_event".to_owned(), json!(day));
        }
        station.add(said).await?;
        station.add(samples::residents_comment(number, day)).await?;
        office.add(samples::lawyers_comment(number)).await?;
        let linked = |record: &Value, kind: &str| {
            let linked = record.get("linked").and_then(Value::as_array);
            let of_kind = linked.into_iter().flatten();
            of_kind.filter(|it| field(it, "kind") == kind).count()
        };
        let both = hub
            .until(law, |it| linked(it, "legis_comment") == 2)
            .await?;
        self.step(
            "comments of two sites stand under the draft at the hub",
            both,
        );
        let gathered = |it: &Value| linked(it, "opinion") == 1 && linked(it, "legis_comment") == 1;
        let gathered = hub.until(day, gathered).await?;
        self.step("the reception has what was said there", gathered);
        let own = linked(&office.show(law).await?, "legis_comment") == 1;
        self.step("a site sees what it said, not what others did", own);
        Ok(())
    }

    /// A year of the sub-district: every kind of record is there, and what came of some.
    async fn year(&mut self, places: year::Places<'_>, desk: &Device) -> Result<()> {
        let year::Places { hub, station, .. } = places;
        let told = year::tell(places).await?;
        for (device, who) in [(hub, "the hub"), (desk, "the operator's PC")] {
            let missing = year::still_missing(device).await?;
            let lacks = if missing.is_empty() {
                String::new()
            } else {
                format!(" (missing: {})", missing.join(", "))
            };
            let name = format!("{who} lists a year with every kind that people make{lacks}");
            self.step(&name, missing.is_empty());
        }
        let closed = station.until(&told.opinion.id, is("status", "closed"));
        let closed = closed.await?;
        self.step(
            "the station sees that its case was rated and closed: 已办结",
            closed,
        );
        let suggestion = hub.show(&told.suggestion.id).await?;
        let said = |key: &str| suggestion.pointer(key).and_then(Value::as_str);
        let due = said("/fields/due_on");
        let in_term = said("/fields/due_rule") == Some("D4")
            && said("/fields/replied_on").is_some_and(|on| due.is_some_and(|due| on <= due));
        self.step(
            "a suggestion has its term by rule, and was answered within it",
            in_term,
        );
        let promised = suggestion.pointer("/fields/commitments");
        let promised = promised
            .and_then(Value::as_array)
            .is_some_and(|all| all.len() == 2);
        self.step(
            "its promises are followed: 承诺跟踪",
            promised && field(&suggestion, "status") == "tracking",
        );
        let adopted = |record: &Value| {
            let result = record.pointer("/fields/adoption/result");
            field(record, "status") == "fed_back" && result.is_some_and(|it| it == "partly")
        };
        let adopted = station.until(&told.comment.id, adopted).await?;
        self.step(
            "the station that heard a comment sees what was adopted of it",
            adopted,
        );
        self.puzzles(hub, &told).await?;
        let checklist = hub.show(&told.checklist.id).await?;
        let items = checklist.pointer("/fields/items").and_then(Value::as_array);
        let has = |item: &&Value| item.get("ok") == Some(&Value::Bool(true));
        let has_six = items.is_some_and(|items| items.iter().filter(has).count() == 6);
        self.step(
            "the station has the six things that it should have",
            has_six,
        );
        Ok(())
    }

    /// What is left for whoever tries it out: a matter that was brought twice, a sealed one, and a conflict.
    async fn puzzles(&mut self, hub: &Device, told: &year::Told) -> Result<()> {
        let mut both = true;
        for it in &told.twins {
            both &= field(&hub.show(&it.id).await?, "status") == "pending";
        }
        self.step("the same matter was brought to two computers", both);
        let sealed = hub.show(&told.sealed.id).await?;
        let overlays = sealed.get("overlays").and_then(Value::as_array);
        let is_sealed = overlays.is_some_and(|all| all.iter().any(|it| it == "restricted"));
        self.step("one matter is sealed: 封存", is_sealed);
        let list = Query::ConflictList {
            limit: None,
            after: None,
            account: None,
        };
        let listed = hub.call(list).await?;
        let records = listed.get("records").and_then(Value::as_array);
        let mut records = records.into_iter().flatten();
        let waits = records.any(|it| field(it, "id") == told.disputed.id);
        self.step("one conflict waits for somebody to choose", waits);
        Ok(())
    }

    /// Whether devices hold and show the same of the station's space, once they have had time.
    async fn equal(&self, devices: &[&Device]) -> Result<bool> {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            let mut digests = Vec::new();
            for device in devices {
                let digest = device.digest().await?;
                let spaces = digest.get("spaces").and_then(Value::as_array).cloned();
                let sites = spaces.into_iter().flatten();
                digests.push(
                    sites
                        .filter(|it| field(it, "kind") == "site")
                        .collect::<Vec<_>>(),
                );
            }
            // The last one is of that site alone; those of the sub-district hold others as well.
            let own = digests.last().and_then(|sites| sites.first());
            if own.is_some_and(|own| digests.iter().all(|sites| sites.contains(own))) {
                return Ok(true);
            }
            if tokio::time::Instant::now() > deadline {
                return Ok(false);
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
