// Opens every exported record with @automerge/automerge and compares it with the JSON beside it: the
// kind, each plain field, and that each text is the reference of a part whose text the JSON has.
//
// Usage: node automerge.mjs DIRECTORY   (written by `lianxin export --format automerge --out DIRECTORY`)
import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";
import * as Automerge from "@automerge/automerge";

const directory = process.argv[2];
const names = readdirSync(directory).filter((name) => name.endsWith(".automerge"));
const fail = (name, what) => {
  console.error(`${name}: ${what}`);
  process.exit(1);
};
const plain = (value) => (value instanceof Date ? value.getTime() : value?.toString?.() ?? value);
let fields = 0;
let texts = 0;

for (const name of names) {
  const document = Automerge.load(readFileSync(join(directory, name)));
  const shown = JSON.parse(readFileSync(join(directory, name.replace(".automerge", ".json")), "utf8"));
  if (plain(document.kind) !== shown.kind) fail(name, "another kind");
  for (const [key, value] of Object.entries(document.fields)) {
    const [path, item] = key.split("/");
    const beside = path.split(".").reduce((at, step) => at?.[step], shown.fields);
    if (value instanceof Uint8Array) {
      const reference = Buffer.from(value).toString("hex");
      const text = shown.texts[reference]?.[key];
      if (typeof text !== "string") fail(name, `no text beside the document for ${key}`);
      if (text !== beside) fail(name, `another text for ${key}`);
      texts += 1;
    } else if (item !== undefined) {
      if (!beside?.includes(item)) fail(name, `the set ${path} lacks an item`);
      fields += 1;
    } else if (!(key in shown.fields) || String(plain(value)) === String(beside)) {
      fields += 1;
    } else {
      fail(name, `another value for ${key}`);
    }
  }
  if (Object.keys(document.events).length !== shown.events.length) fail(name, "another number of events");
}
if (names.length === 0 || texts === 0) fail(directory, "nothing to compare");
console.log(`${names.length} documents, ${fields} fields and ${texts} texts agree`);
