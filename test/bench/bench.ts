/**
 * npm run bench -- [--only NAME]… [--quick] [--rounds N] [--mib N] [--json FILE]
 *
 * Compares the built binary (dist/cedana, or $CEDANA_BINARY) with the criu command itself, and with the bars of the
 * project. Needs root and a quiet host. Exit status 1: a measure could not be taken; a missed bar is told, not failed.
 */
import { writeFileSync } from "node:fs";
import { availableParallelism, machine, release, totalmem } from "node:os";
import { parseArgs } from "node:util";
import { becomeSubreaper } from "../../src/system/children.ts";
import { attach } from "./attach.ts";
import { busy } from "./busy.ts";
import { codecs } from "./codecs.ts";
import { containerd } from "./containerd.ts";
import { frozen } from "./frozen.ts";
import { hundred } from "./hundred.ts";
import { large } from "./large.ts";
import type { Row } from "./measure.ts";
import { memory } from "./memory.ts";
import { findPeer } from "./peer.ts";
import { judge, renderJson, renderTable } from "./report.ts";
import { runc } from "./runc.ts";
import { small } from "./small.ts";
import { streams } from "./streams.ts";
import { upload } from "./upload.ts";

const measures = [
  small,
  large,
  frozen,
  hundred,
  attach,
  memory,
  streams,
  codecs,
  upload,
  busy,
  runc,
  containerd,
];

const { values } = parseArgs({
  options: {
    only: { type: "string", multiple: true },
    quick: { type: "boolean", default: false },
    rounds: { type: "string" },
    mib: { type: "string" },
    json: { type: "string" },
  },
});
const chosen = measures.filter(({ name }) => values.only?.includes(name) ?? true);
const unknown = values.only?.filter((name) => !measures.some((measure) => measure.name === name)) ?? [];
if (unknown.length > 0) {
  console.error(
    `no measure named ${unknown.join(", ")}; there are ${measures.map(({ name }) => name).join(", ")}`,
  );
  process.exit(2);
}

// Orphans of what is dumped come to us and are reaped at once: some hosts' init lets their pids be taken for a second.
becomeSubreaper();
const number = (text: string | undefined) => (text === undefined ? undefined : Number(text));
const settings = { quick: values.quick, rounds: number(values.rounds), mib: number(values.mib) };
const rows: Row[] = [];
for (const measure of chosen) {
  console.error(`${measure.name} …`);
  rows.push(...(await measure.run(settings)));
}
console.log(renderTable(rows.map(judge)));
if (values.json !== undefined) {
  const { version } = await findPeer();
  const host = { cores: availableParallelism(), memory: totalmem(), arch: machine(), kernel: release() };
  writeFileSync(values.json, renderJson(rows, { ...host, criu: version }));
}
