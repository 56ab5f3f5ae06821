//! What a record shows is read from the operations of its changes where nobody disputes anything, and from Automerge where
//! somebody does; and rows that were made without Automerge are those that it would have made.

use anyhow::{Result, ensure};
use lianxin_node::command::Write;
use lianxin_node::records::{Projection, gather};
use lianxin_tests::World;
use lianxin_tests::world::{HUB, text};
use serde_json::{Value, json};

const A: usize = 1;
const B: usize = 2;

/// Records that were written by one, by two in turn, and by two at once; one dispute is settled and one stands.
fn records(world: &mut World) -> Result<[String; 4]> {
    let mut ids = Vec::new();
    for title in ["one", "in turn", "settled", "disputed"] {
        ids.push(world.add(A, title)?.0);
    }
    let [one, turn, settled, disputed] = ids.try_into().unwrap_or_default();
    world.heal()?;
    world.set(A, &one, json!({ "urgency": "urgent", "people_count": 3 }))?;
    world.set(A, &one, json!({ "people_count": Value::Null }))?;
    world.set(B, &turn, json!({ "urgency": "urgent" }))?;
    world.heal()?;
    world.set(A, &turn, json!({ "urgency": "normal", "people_count": 2 }))?;
    for id in [&settled, &disputed] {
        world.set(A, id, json!({ "urgency": "urgent", "people_count": 4 }))?;
        world.set(B, id, json!({ "urgency": "emergency_referred" }))?;
    }
    world.heal()?;
    world.set(B, &settled, json!({ "urgency": "urgent" }))?;
    world.heal()?;
    for id in [&one, &settled] {
        world.call(
            HUB,
            Write::RecordAct {
                id: id.clone(),
                event: "accept".to_owned(),
                input: json!({}),
                account: None,
            },
        )?;
    }
    world.heal()?;
    Ok([one, turn, settled, disputed])
}

#[test]
fn rows_are_the_same_whether_operations_or_automerge_said_them() -> Result<()> {
    let mut world = World::with_stations(31, 2)?;
    let [_, _, _, disputed] = records(&mut world)?;
    let shown = world.show(HUB, &disputed)?;
    ensure!(
        text(&shown["conflicts"][0], "field") == "urgency",
        "{shown}"
    );
    for node in [HUB, A, B] {
        world.call(node, Write::Reproject)?;
        let from_operations = world.digests(node)?;
        let all = world.transact(node, |journal, connection| {
            let mut statement = connection.prepare("SELECT id FROM records ORDER BY id")?;
            let keys = statement.query_map([], |row| row.get(0))?;
            let keys = keys.collect::<Result<Vec<i64>, _>>()?;
            connection.execute("UPDATE records SET state = NULL", [])?;
            keys.iter().try_fold(keys.len(), |count, key| {
                let gathered = gather(connection, journal, *key)?;
                let merged = gathered.merged();
                let row = Projection::of(&gathered, journal.authority());
                let written = row.write(connection, journal)?;
                Ok(if merged && written { count } else { 0 })
            })
        })?;
        ensure!(all >= 4, "{all} records");
        ensure!(world.digests(node)? == from_operations);
        world.sound(node)?;
    }
    world.agree(&[A, B])
}
