/** dump and restore of a small container: what we add to runc's own checkpoint and restore, by the same CRIU. */
import { mkdirSync, mkdtempSync, rmSync } from "node:fs";
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { writeCriu } from "../../src/engine/container_start.ts";
import { readContainer } from "../../src/runc/containers.ts";
import { reap } from "../../src/system/children.ts";
import { processTree, readStat } from "../../src/system/proc.ts";
import { cleanEnvironment } from "../../src/system/self.ts";
import { type Runc, startRunc } from "../integration/runc/runc.ts";
import { alternate, type Measure, median, type Row, rounds, time, until } from "./measure.ts";
import { type Ours, startOurs } from "./ours.ts";
import type { RoundTrip } from "./round_trip.ts";

const extraMs = 40;
const loop = ["sh", "-c", "while :; do sleep 60; done"];
const peers = { dump: "runc checkpoint", restore: "runc restore --detach" };

export const runc: Measure = {
  name: "runc",
  run: async (settings) => {
    await using host = startRunc();
    await using ours = await startOurs();
    const peer = await findPeerRunc(host);
    const victim = { id: host.id("bench"), bundle: host.bundle("bench", { args: loop }).path };
    const taken = await alternate(
      rounds(settings),
      () => ourTrip(ours, host, victim),
      () => peerTrip(peer, host, victim),
    );
    return (["dump", "restore"] as const).map((verb): Row => {
      const theirs = taken.peer.map((trip) => trip[verb]);
      return {
        measure: `${verb} runc, a small shell loop of busybox`,
        unit: "ms",
        ours: taken.ours.map((trip) => trip[verb]),
        peer: theirs,
        limit: median(theirs) + extraMs,
        bar: `${peers[verb]} + ${extraMs} ms`,
      };
    });
  },
};

interface Victim {
  id: string;
  bundle: string;
}

async function ourTrip(ours: Ours, host: Runc, victim: Victim): Promise<RoundTrip> {
  const init = await start(host, victim);
  const path = join(ours.daemon.dir, "checkpoints", "bench.tar");
  const dump = await ours.time(["dump", "runc", victim.id, "--root", host.root, "--name", "bench"]);
  await gone(init);
  const restore = await ours.time(["restore", "runc", "--path", path]);
  await ours.endJobs();
  rmSync(path);
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
  const restore = await peer(["restore", "--detach", ...folders, "--bundle", victim.bundle, victim.id]);
  const restored = initOf(host, victim);
  await host.remove(victim.id);
  await gone(restored);
  rmSync(work, { recursive: true });
  return { dump, restore };
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
  await until("the loop sleeps", () => processTree(init).length === 2);
  return init;
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
