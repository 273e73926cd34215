/** dump and restore of a small container of containerd's: what ctr takes for the same, by the same CRIU. */
import { join } from "node:path";
import { locateCriu } from "../../src/criu/locate.ts";
import { writeCriu } from "../../src/engine/container_start.ts";
import { startContainerd, type TestContainerd } from "../integration/containerd/server.ts";
import { alternate, type Measure, median, type Row, rounds, time } from "./measure.ts";
import { type Ours, startOurs } from "./ours.ts";
import type { RoundTrip } from "./round_trip.ts";

const image = "docker.io/library/busybox:latest";
const loop = ["sh", "-c", "while :; do sleep 60; done"];
const peers = { dump: "ctr containers checkpoint --task", restore: "ctr containers restore --live" };

export const containerd: Measure = {
  name: "containerd",
  run: async (settings) => {
    await using ours = await startOurs();
    const { command } = await locateCriu({ binDir: "/usr/local/bin" });
    // containerd's shim has runc find CRIU where containerd would.
    const path = `${writeCriu(ours.daemon.dir, command)}:${process.env.PATH}`;
    const server = await startContainerd({ path });
    try {
      await server.importBusybox();
      const taken = await alternate(
        rounds(settings),
        () => ourTrip(ours, server),
        () => peerTrip(server),
      );
      return (["dump", "restore"] as const).map((verb): Row => {
        const theirs = taken.peer.map((trip) => trip[verb]);
        return {
          measure: `${verb} containerd, a small shell loop of busybox`,
          unit: "ms",
          ours: taken.ours.map((trip) => trip[verb]),
          peer: theirs,
          limit: median(theirs),
          bar: `no slower than ${peers[verb]}`,
        };
      });
    } finally {
      await server.stop();
    }
  },
};

/** Both leave it running, as ctr does; the restored one is another. */
async function ourTrip(ours: Ours, server: TestContainerd): Promise<RoundTrip> {
  await start(server);
  const place = ["--address", server.address, "--namespace", server.namespace];
  const name = crypto.randomUUID();
  const dump = await ours.time(["dump", "containerd", "bench", ...place, "--leave-running", "--name", name]);
  await remove(server, "bench");
  const path = join(ours.daemon.dir, "checkpoints", `${name}.tar`);
  const restore = await ours.time(["restore", "containerd", "--path", path, "--id", "again", ...place]);
  await ours.endJobs();
  return { dump, restore };
}

async function peerTrip(server: TestContainerd): Promise<RoundTrip> {
  await start(server);
  const ctr = (...args: string[]) =>
    time(["ctr", "--address", server.address, "--namespace", server.namespace, ...args]);
  const reference = `localhost/bench:${crypto.randomUUID()}`;
  const dump = await ctr("containers", "checkpoint", "--task", "--image", "bench", reference);
  await remove(server, "bench");
  const restore = await ctr("containers", "restore", "--live", "again", reference);
  await remove(server, "again");
  await server.ctr("images", "rm", reference);
  return { dump, restore };
}

async function start(server: TestContainerd): Promise<void> {
  await server.ctr("run", "-d", "--null-io", image, "bench", ...loop);
}

async function remove(server: TestContainerd, id: string): Promise<void> {
  await server.ctr("task", "rm", "-f", id);
  await server.ctr("containers", "rm", id);
}
