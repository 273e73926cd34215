/**
 * A real dockerd of the test's own. It has Docker's own paths, in a mount and a network namespace that only it and what it
 * starts are in: beside a Docker of the host neither sees the other, and what a test leaves there goes with it.
 *
 * Debian's own packages: docker.io, busybox-static, iproute2.
 */
import { chmodSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeRootfs } from "../runc/bundle.ts";

export interface TestDocker extends AsyncDisposable {
  /** Of dockerd, in whose mount namespace Docker's paths are its. */
  pid: number;
  /** For the test, removed at the end. */
  dir: string;
  /** Starts a busybox container; its id. */
  run(name: string, command: string[], more?: object): Promise<string>;
  inspect(name: string): Promise<Inspected>;
  /** `docker start`, `docker pause`, … */
  act(name: string, action: string): Promise<void>;
  /** `docker rm --force` */
  remove(name: string): Promise<void>;
  /** `docker export` into a file. */
  export(name: string, path: string): Promise<void>;
}

interface Inspected {
  State: { Status: string; Pid: number; ExitCode: number };
}

interface Created {
  Id: string;
}

export const image = "cedana-test/busybox:1";

/** Where Docker would meet another, or leave something. */
const own = ["/etc/docker", "/run/docker", "/run/containerd", "/var/lib/docker"];

export async function startDocker(): Promise<TestDocker> {
  const dir = mkdtempSync(join(tmpdir(), "cedana-docker-"));
  // A bind mount's source is looked up by processes of any user.
  chmodSync(dir, 0o711);
  const made = own.filter((path) => mkdirSync(path, { recursive: true }) !== undefined);
  mkdirSync(join(dir, "data"));
  const cgroup = `/cedana-test-${process.pid}`;
  const socket = join(dir, "docker.sock");
  const script = `
    mount --bind ${dir}/data /var/lib/docker
    for path in /etc/docker /run/docker /run/containerd; do mount -t tmpfs tmpfs $path; done
    ip link set lo up
    exec dockerd --host unix://${socket} --pidfile ${dir}/docker.pid --cgroup-parent ${cgroup} --iptables=false --ip6tables=false`;
  const log = Bun.file(join(dir, "docker.log"));
  const server = Bun.spawn(
    [
      ...["setpriv", "--pdeathsig", "KILL", "unshare", "--mount", "--net", "--propagation", "private"],
      ...["sh", "-ec", script],
    ],
    { stdin: "ignore", stdout: log, stderr: log },
  );

  const ask = async (method: string, path: string, body?: object): Promise<Response> => {
    const json = body !== undefined && !(body instanceof Blob);
    const response = await fetch(`http://docker${path}`, {
      unix: socket,
      method,
      body: json ? JSON.stringify(body) : body,
      headers: { "content-type": json ? "application/json" : "application/x-tar" },
    });
    if (response.ok) return response;
    throw new Error(`${method} ${path}: ${response.status} ${await response.text()}`);
  };
  const inspect = async (name: string): Promise<Inspected> =>
    JSON.parse(await (await ask("GET", `/containers/${name}/json`)).text());
  const remove = async (name: string) => void (await ask("DELETE", `/containers/${name}?force=true&v=true`));

  const stop = async () => {
    if (server.exitCode === null) {
      const all: Created[] = JSON.parse(await (await ask("GET", "/containers/json?all=true")).text());
      for (const { Id } of all) await remove(Id);
    }
    server.kill("SIGTERM");
    await server.exited;
    for (const hierarchy of readdirSync("/sys/fs/cgroup")) {
      for (const path of [join("/sys/fs/cgroup", hierarchy, cgroup), join("/sys/fs/cgroup", cgroup)])
        Bun.spawnSync(["rmdir", path]);
    }
    for (const path of made) rmdirSync(path);
    rmSync(dir, { recursive: true });
  };

  try {
    for (const end = Date.now() + 60_000; !(await isUp(socket)); await Bun.sleep(50))
      if (server.exitCode !== null || Date.now() > end) throw new Error("it did not start");
    const rootfs = join(dir, "image");
    makeRootfs(rootfs);
    await Bun.$`tar -cf ${rootfs}.tar -C ${rootfs} .`;
    await (await ask("POST", `/images/create?fromSrc=-&repo=${image}`, Bun.file(`${rootfs}.tar`))).text();
  } catch (error) {
    const said = readFileSync(join(dir, "docker.log"), "utf8").slice(-2000);
    await stop();
    throw new Error(`no dockerd: ${error instanceof Error ? error.message : error}\n${said}`);
  }
  return {
    pid: server.pid,
    dir,
    inspect,
    remove,
    async run(name, command, more = {}) {
      const wanted = { Image: image, Cmd: command, Env: ["PATH=/bin"], ...more };
      const answer = await ask("POST", `/containers/create?name=${name}`, wanted);
      const { Id }: Created = JSON.parse(await answer.text());
      await ask("POST", `/containers/${Id}/start`);
      return Id;
    },
    act: async (name, action) => void (await ask("POST", `/containers/${name}/${action}`)),
    export: async (name, path) =>
      void (await Bun.write(path, await ask("GET", `/containers/${name}/export`))),
    [Symbol.asyncDispose]: stop,
  };
}

async function isUp(socket: string): Promise<boolean> {
  try {
    return (await fetch("http://docker/_ping", { unix: socket })).ok;
  } catch {
    // Its socket is not there, or nobody listens yet.
    return false;
  }
}
