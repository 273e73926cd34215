import { describe, expect, test } from "bun:test";
import { type ImageConfig, imageConfig } from "../../src/containerd/image_config.ts";
import { imageSpec } from "../../src/containerd/spec.ts";
import { CedanaError } from "../../src/errors.ts";

const empty: ImageConfig = imageConfig({});
const where = { id: "web", namespace: "default" };

test("a command alone gets the defaults of containerd's own clients", () => {
  const spec = imageSpec(empty, { ...where, args: ["sh"] });
  expect(spec.process).toMatchObject({
    args: ["sh"],
    env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"],
    cwd: "/",
    user: { uid: 0, gid: 0, additionalGids: [0] },
    noNewPrivileges: true,
    rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
  });
  expect(spec.process.terminal).toBeUndefined();
  expect(spec.process.capabilities.bounding).toHaveLength(14);
  expect(spec.process.capabilities.effective).toContain("CAP_NET_BIND_SERVICE");
  expect(spec.root).toEqual({ path: "rootfs" });
  expect(spec.linux.cgroupsPath).toBe("/default/web");
  expect(spec.linux.namespaces.map(({ type }) => type)).toEqual(["pid", "ipc", "uts", "mount", "network"]);
  expect(spec.mounts.map(({ destination }) => destination)).toEqual([
    "/proc",
    "/dev",
    "/dev/pts",
    "/dev/shm",
    "/dev/mqueue",
    "/sys",
    "/run",
  ]);
  expect(spec.linux.maskedPaths).toContain("/proc/kcore");
  expect(spec.linux.readonlyPaths).toContain("/proc/sys");
  expect(spec.linux.resources.devices[0]).toEqual({ allow: false, access: "rwm" });
  expect(spec.linux.resources.devices).toContainEqual({ allow: true, type: "c", major: 136, access: "rwm" });
});

describe("what is run", () => {
  const config = { ...empty, entrypoint: ["/entry"], cmd: ["serve"], workingDir: "/srv" };

  test("is the image's entrypoint and command", () => {
    expect(imageSpec(config, where).process).toMatchObject({ args: ["/entry", "serve"], cwd: "/srv" });
  });

  test("keeps the entrypoint when arguments are given, and takes the folder that is given", () => {
    const { process } = imageSpec(config, { ...where, args: ["check", "-v"], cwd: "/tmp" });
    expect(process).toMatchObject({ args: ["/entry", "check", "-v"], cwd: "/tmp" });
  });

  test("must be named by somebody", () => {
    const refused = () => imageSpec(empty, where);
    expect(refused).toThrow(CedanaError);
    expect(refused).toThrow("the image names no command to run");
  });
});

describe("the environment", () => {
  const config = { ...empty, cmd: ["sh"], env: ["PATH=/bin", "A=1", "B=2"] };

  test("is the image's, with what is given in its place, added, or taken away", () => {
    const { env } = imageSpec(config, { ...where, env: ["A=3", "C=x=y", "B"] }).process;
    expect(env).toEqual(["PATH=/bin", "A=3", "C=x=y"]);
  });

  test("names the terminal, unless somebody else does", () => {
    expect(imageSpec(config, { ...where, terminal: true }).process).toMatchObject({
      terminal: true,
      env: ["TERM=xterm", "PATH=/bin", "A=1", "B=2"],
    });
    const { env } = imageSpec(config, { ...where, terminal: true, env: ["TERM=screen"] }).process;
    expect(env).toContain("TERM=screen");
    expect(env).not.toContain("TERM=xterm");
  });
});

test("the host's network comes with the host's names", () => {
  const spec = imageSpec({ ...empty, cmd: ["sh"] }, { ...where, hostNetwork: true });
  expect(spec.linux.namespaces.map(({ type }) => type)).not.toContain("network");
  expect(spec.mounts.slice(-2)).toEqual([
    { destination: "/etc/hosts", type: "bind", source: "/etc/hosts", options: ["rbind", "ro"] },
    { destination: "/etc/resolv.conf", type: "bind", source: "/etc/resolv.conf", options: ["rbind", "ro"] },
  ]);
});

test("namespaces that exist are joined", () => {
  const namespaces = { network: "/proc/7/ns/net", user: "/proc/7/ns/user" };
  const spec = imageSpec({ ...empty, cmd: ["sh"] }, { ...where, namespaces });
  expect(spec.linux.namespaces).toEqual([
    { type: "pid" },
    { type: "ipc" },
    { type: "uts" },
    { type: "mount" },
    { type: "network", path: "/proc/7/ns/net" },
    { type: "user", path: "/proc/7/ns/user" },
  ]);
});

test("specs share nothing that one could change for all", () => {
  const [one, other] = [0, 1].map(() => imageSpec({ ...empty, cmd: ["sh"] }, where));
  one?.mounts.pop();
  one?.process.capabilities.bounding.pop();
  one?.linux.maskedPaths.pop();
  expect(other?.mounts).toHaveLength(7);
  expect(other?.process.capabilities.bounding).toHaveLength(14);
  expect(other?.linux.maskedPaths).toHaveLength(10);
});

test("an image's configuration is read with what is missing or malformed left out", () => {
  const config = { Entrypoint: null, Cmd: ["a", 1], Env: "x", WorkingDir: "/w", User: "me:us" };
  expect(imageConfig({ config })).toEqual({
    entrypoint: [],
    cmd: ["a"],
    env: [],
    workingDir: "/w",
    user: "me:us",
    stopSignal: "SIGTERM",
  });
});
