/** dump and restore of a small container: what we add to runc's own checkpoint and restore, by the same CRIU. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { writeCriu } from "../../src/engine/container_start.ts";
import { readContainer } from "../../src/runc/containers.ts";
import { reap } from "../../src/system/children.ts";
import { processTree, readStat, readStatus } from "../../src/system/proc.ts";
import { cleanEnvironment } from "../../src/system/self.ts";
import { type Runc, startRunc } from "../integration/runc/runc.ts";
import { alternate, type Measure, median, type Row, rounds, time, until } from "./measure.ts";
import { type Ours, startOurs } from "./ours.ts";
import type { RoundTrip } from "./round_trip.ts";
import { warmMemory } from "./victim.ts";

const extraMs = 40;
const loop = ["sh", "-c", "while :; do sleep 60; done"];
const peers = { dump: "runc checkpoint", restore: "runc restore --detach" };

/** Memory of one process: what tail must keep until it knows the end. Half of it is random. */
const hoard = (mib: number) => [
  ...["sh", "-c"],
  `(/bin/busybox head -c ${mib / 2}m /dev/urandom; /bin/busybox yes | /bin/busybox head -c ${mib / 2}m; sleep 100000) | /bin/busybox tail -c ${mib}m`,
];

export const runc: Measure = {
  name: "runc",
  run: async (settings) => {
    await using host = startRunc();
    await using ours = await startOurs({ CEDANA_CHECKPOINT_SYNC: "false" });
    const peer = await findPeerRunc(host);
    const mib = settings.mib ?? (settings.quick ? 64 : 1024);
    const small = { label: "a small shell loop of busybox", args: loop, factor: 1, count: rounds(settings) };
    const large = {
      ...{ label: `${mib} MiB in a process of busybox, none`, args: hoard(mib), factor: 1.05, mib },
      count: rounds(settings, 5),
    };
    return [
      ...(await compare({ host, ours, peer }, small)),
      ...(await compare({ host, ours, peer }, large)),
      await tenAtOnce(ours, host, rounds(settings, 7)),
    ];
  },
};

interface Sides {
  host: Runc;
  ours: Ours;
  peer: PeerRunc;
}

interface Load {
  label: string;
  args: string[];
  /** Of memory that it must have before it is dumped. */
  mib?: number;
  factor: number;
  count: number;
}

async function compare({ host, ours, peer }: Sides, load: Load): Promise<Row[]> {
  const { label, args, factor, mib = 0 } = load;
  const name = `bench-${mib}`;
  const victim = { id: host.id(name), bundle: host.bundle(name, { args }).path, mib };
  const taken = await alternate(
    load.count,
    () => ourTrip(ours, host, victim),
    () => peerTrip(peer, host, victim),
  );
  return (["dump", "restore"] as const).map((verb): Row => {
    const theirs = taken.peer.map((trip) => trip[verb]);
    return {
      measure: `${verb} runc, ${label}`,
      unit: "ms",
      ours: taken.ours.map((trip) => trip[verb]),
      peer: theirs,
      limit: median(theirs) * factor + extraMs,
      bar: `${peers[verb]} ${factor === 1 ? "" : `× ${factor} `}+ ${extraMs} ms`,
    };
  });
}

/** Ten containers dumped at once, against the same one after the other. */
async function tenAtOnce(ours: Ours, host: Runc, count: number): Promise<Row> {
  const victims = Array.from({ length: 10 }, (_, index) => ({
    id: host.id(`ten-${index}`),
    bundle: host.bundle(`ten-${index}`, { args: loop }).path,
    mib: 0,
  }));
  const all = async (dumps: (work: (() => Promise<number>)[]) => Promise<unknown>) => {
    const inits: number[] = [];
    for (const victim of victims) inits.push(await start(host, victim));
    const name = (id: string) => ["--root", host.root, "--name", `ten-${id}`];
    const from = performance.now();
    await dumps(
      victims.map(
        ({ id }) =>
          () =>
            ours.time(["dump", "runc", id, ...name(id)]),
      ),
    );
    const ms = performance.now() - from;
    await Promise.all(inits.map(gone));
    for (const { id } of victims) rmSync(join(ours.daemon.dir, "checkpoints", `ten-${id}.tar`));
    return ms;
  };
  const taken = await alternate(
    count,
    () => all((work) => Promise.all(work.map((dump) => dump()))),
    () =>
      all(async (work) => {
        for (const dump of work) await dump();
      }),
  );
  return {
    measure: "dump runc, ten at once",
    unit: "ms",
    ...taken,
    limit: median(taken.peer) / 1.5,
    bar: "one after the other ÷ 1.5",
  };
}

interface Victim {
  id: string;
  bundle: string;
  mib: number;
}

async function ourTrip(ours: Ours, host: Runc, victim: Victim): Promise<RoundTrip> {
  const init = await start(host, victim);
  // A large one as runc writes it: CRIU reads a container's images from files only.
  const [suffix, form] = victim.mib === 0 ? [".tar", "tar"] : ["", "none"];
  const path = join(ours.daemon.dir, "checkpoints", `bench${suffix}`);
  const how = ["--root", host.root, "--name", "bench", "--compression", form];
  const dump = await ours.time(["dump", "runc", victim.id, ...how]);
  await gone(init);
  if (victim.mib > 0) await settle(ours.daemon.dir, victim);
  const restore = await ours.time(["restore", "runc", "--path", path]);
  await ours.endJobs();
  rmSync(path, { recursive: true });
  return { dump, restore };
}

async function peerTrip(peer: PeerRunc, host: Runc, victim: Victim): Promise<RoundTrip> {
  const init = await start(host, victim);
  const work = mkdtempSync(join(host.dir, "peer-"));
  const [images, log] = [join(work, "images"), join(work, "log")];
  mkdirSync(images);
  const folders = ["--image-path", images, "--work-path", log];
  const dump = await peer(["checkpoint", ...folders, victim.id]);
  await gone(init);
  if (victim.mib > 0) await settle(work, victim);
  const restore = await peer(["restore", "--detach", ...folders, "--bundle", victim.bundle, victim.id]);
  const restored = initOf(host, victim);
  await host.remove(victim.id);
  await gone(restored);
  rmSync(work, { recursive: true });
  return { dump, restore };
}

/** As in round_trip.ts. */
async function settle(dir: string, victim: Victim): Promise<void> {
  await time(["sync", "-f", dir]);
  await warmMemory({ label: "", mib: victim.mib });
}

/** ms of a command of runc's that uses the very CRIU that the daemon uses. */
type PeerRunc = (args: string[]) => Promise<number>;

async function findPeerRunc(host: Runc): Promise<PeerRunc> {
  const { command } = await locateCriu({ binDir: "/usr/local/bin" });
  const environment = cleanEnvironment();
  const env = { ...environment, PATH: `${writeCriu(host.dir, command)}:${environment.PATH}` };
  return (args) => time(["runc", "--root", host.root, ...args], { env });
}

/** Detached, with nothing for its stdio: runc checkpoint takes no files of the host's. Gives the pid of its init. */
async function start(host: Runc, victim: Victim): Promise<number> {
  const command = ["runc", "--root", host.root, "run", "--detach", "--bundle", victim.bundle, victim.id];
  const code = await Bun.spawn(command, { stdio: ["ignore", "ignore", "ignore"] }).exited;
  if (code !== 0) throw new Error(`${command.join(" ")} ended with ${code}`);
  const init = initOf(host, victim);
  const tree = () => processTree(init);
  const memory = () => tree().reduce((sum, pid) => sum + rssOf(pid), 0);
  if (victim.mib === 0) await until("the loop sleeps", () => tree().length === 2);
  else await until("it has its memory", () => memory() >= victim.mib * 2 ** 20);
  return init;
}

function rssOf(pid: number): number {
  return Number.parseInt(readStatus(pid)?.get("VmRSS") ?? "0", 10) * 1024;
}

function initOf(host: Runc, { id }: Victim): number {
  const pid = readContainer(host.root, id)?.pid;
  if (pid) return pid;
  throw new Error(`runc knows no container ${id} that runs`);
}

/** Resolves when the init, which comes to us when runc ends, is gone. */
async function gone(init: number): Promise<void> {
  await until("the container is gone", () => {
    if (readStat(init)?.state === "Z") reap(init);
    return readStat(init) === undefined;
  });
}
