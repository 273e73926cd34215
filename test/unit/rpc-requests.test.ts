import { describe, expect, test } from "bun:test";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { CedanaError } from "../../src/errors.ts";
import {
  DumpRequestSchema,
  KillRequestSchema,
  ManageRequestSchema,
  QueryRequestSchema,
  RestoreRequestSchema,
  RunRequestSchema,
  Stdio,
  TargetSchema,
} from "../../src/gen/cedana/daemon/v1/daemon_pb.ts";
import type { ContainerSchema } from "../../src/gen/cedana/daemon/v1/job_pb.ts";
import * as requests from "../../src/rpc/requests.ts";
import { checkpointId } from "../../src/rpc/validate.ts";

/** The message of the INVALID_ARGUMENT that the check throws. */
function refusal(check: () => unknown): string {
  try {
    check();
  } catch (error) {
    if (error instanceof CedanaError && error.reason === "INVALID_ARGUMENT") return error.message;
    throw error;
  }
  throw new Error("it was accepted");
}

const dump = (request: MessageInitShape<typeof DumpRequestSchema>) => {
  const message = create(DumpRequestSchema, request);
  message.target ??= create(TargetSchema, { target: { case: "pid", value: 5 } });
  return requests.dump(message);
};
const run = (request: MessageInitShape<typeof RunRequestSchema>) =>
  requests.run(create(RunRequestSchema, { args: ["true"], ...request }));
const restore = (request: MessageInitShape<typeof RestoreRequestSchema>) =>
  requests.restore(create(RestoreRequestSchema, request));
const kill = (request: MessageInitShape<typeof KillRequestSchema>) =>
  requests.kill(create(KillRequestSchema, request));
const target = (target: MessageInitShape<typeof TargetSchema>) =>
  requests.target(create(TargetSchema, target));

const web = { type: "runc", id: "web" };
const container = (value: MessageInitShape<typeof ContainerSchema>) => ({
  target: { case: "container" as const, value },
});

describe("a target", () => {
  test("must be there", () => {
    expect(refusal(() => requests.target(undefined))).toStartWith("target: ");
    expect(refusal(() => target({}))).toStartWith("target: ");
  });

  test.each([0, 4194305, 0xffffffff])("that is no possible pid is refused: %p", (value) => {
    expect(refusal(() => target({ target: { case: "pid", value } }))).toStartWith(
      "target.pid: must be from 1 to 4194304",
    );
  });

  test.each(["", ".x", "-x", "a/b", "a b", "a\0b", "a\n", "é", "x".repeat(65)])(
    "that is no job id is refused: %p",
    (value) => {
      expect(refusal(() => target({ target: { case: "jid", value } }))).toStartWith("target.jid: ");
    },
  );

  test.each(["a", "used_gould8", "A.b-c_9", "x".repeat(64)])("that is a job id is taken: %p", (value) => {
    expect(target({ target: { case: "jid", value } })).toEqual({ jid: value });
  });
});

describe("a container", () => {
  test.each(["a", "web-1", "A_b+c.d", "...", "x".repeat(255)])("of this id is taken: %p", (id) => {
    expect(target(container({ ...web, id }))).toEqual({ container: { type: "runc", id } });
  });

  test.each(["", ".", "..", "../x", "a/b", "a b", "a\0b", "a\n", "é", "-;x", "x".repeat(256)])(
    "of this id is refused: %p",
    (id) => {
      expect(refusal(() => target(container({ ...web, id })))).toStartWith("target.container.id: ");
    },
  );

  test("may say its root", () => {
    expect(target(container({ ...web, root: "/run/runc" }))).toEqual({
      container: { type: "runc", id: "web", root: "/run/runc" },
    });
  });

  test.each([
    ["type", { type: "" }],
    ["type", { type: "process" }],
    ["root", { root: "run/runc" }],
    ["root", { root: "/run\0/runc" }],
    ["root", { root: `/${"x".repeat(4096)}` }],
    ["bundle", { bundle: "./here" }],
  ])("with a bad %s names the field", (field, wrong) => {
    expect(refusal(() => target(container({ ...web, ...wrong })))).toStartWith(`target.container.${field}: `);
  });
});

describe("a dump", () => {
  test("with nothing but a target leaves every choice open", () => {
    const { target, dir, name, compression, leaveRunning } = dump({});
    expect({ target, dir, name, compression, leaveRunning }).toEqual({
      target: { pid: 5 },
      dir: undefined,
      name: undefined,
      compression: undefined,
      leaveRunning: undefined,
    });
  });

  test.each([
    ["dir", { dir: "relative" }],
    ["dir", { dir: "/a\0/b" }],
    ["dir", { dir: `/${"x".repeat(4096)}` }],
    ["name", { name: "a/b" }],
    ["name", { name: ".." }],
    ["name", { name: ".hidden" }],
    ["name", { name: "x".repeat(201) }],
    ["compression", { compression: "rar" }],
    ["criu.external[1]", { criu: { external: ["ok", "a\0b"] } }],
    ["criu.criu_opts", { criu: { criuOpts: "\0" } }],
  ])("with a bad %s names the field", (field, request) => {
    expect(refusal(() => dump(request))).toStartWith(`${field}: `);
  });

  test("with an unknown compression lists the known ones", () => {
    expect(refusal(() => dump({ compression: "rar" }))).toBe(
      'compression: must be one of none, tar, gzip, lz4, zlib, zstd, not "rar"',
    );
  });

  test("tells an unset shell-job from one that is off", () => {
    expect(dump({ criu: {} }).criu.shellJob).toBeUndefined();
    expect(dump({ criu: { shellJob: false } }).criu.shellJob).toBe(false);
  });
});

describe("a run", () => {
  test("gets the documented defaults", () => {
    expect(run({})).toMatchObject({
      type: "process",
      cwd: "/",
      umask: 0o022,
      output: { kind: "log" },
      jid: undefined,
    });
  });

  test.each([
    ["args", { args: [] }],
    ["args", { args: [""] }],
    ["args[1]", { args: ["echo", "a\0b"] }],
    ["args[0]", { args: ["x".repeat(131072)] }],
    ["args", { args: Array.from({ length: 20 }, () => "x".repeat(131000)) }],
    ["env[0]", { env: ["NOVALUE"] }],
    ["env[1]", { env: ["A=1", "=x"] }],
    ["env[0]", { env: ["A=\0"] }],
    ["cwd", { cwd: "here" }],
    ["jid", { jid: "../etc" }],
    ["umask", { umask: 0o1000 }],
    ["log", { log: "out.log" }],
    ["log", { log: "/tmp/x.log", stdio: Stdio.ATTACHABLE }],
    ["stdio", { stdio: 9 }],
    ["type", { type: "Not A Type" }],
    ["terminal.rows", { terminal: { rows: 65536, cols: 80 } }],
  ])("with a bad %s names the field", (field, request) => {
    expect(refusal(() => run(request))).toStartWith(`${field}: `);
  });

  test("with a bad variable does not repeat it: environments hold secrets", () => {
    expect(refusal(() => run({ env: ["hunter2"] }))).not.toContain("hunter2");
  });

  test("takes an environment as large as the kernel takes it", () => {
    const env = Array.from({ length: 15 }, (_, index) => `V${index}=${"x".repeat(131000)}`);
    expect(run({ env }).env).toEqual(env);
  });
});

describe("a run of a container", () => {
  const bundle = { container: { type: "runc", bundle: "/b" } };

  test("takes its bundle, and what runc is told", () => {
    const { type, container } = run({
      ...{ type: "runc", args: [] },
      container: { container: { type: "runc", id: "web", root: "/r", bundle: "/b" }, noPivot: true },
    });
    expect({ type, container }).toEqual({
      type: "runc",
      container: {
        ...{ type: "runc", id: "web", root: "/r", bundle: "/b" },
        ...{ noPivot: true, noNewKeyring: false, systemdCgroup: false },
      },
    });
  });

  test.each([
    ["container.container.bundle", { container: undefined }],
    ["container.container.bundle", { container: { container: { type: "runc" } } }],
    ["container.container.bundle", { container: { container: { type: "runc", bundle: "b" } } }],
    ["container.container.root", { container: { container: { type: "runc", root: "r", bundle: "/b" } } }],
    ["container.container.id", { container: { container: { type: "runc", id: "../x", bundle: "/b" } } }],
    ["container.container.type", { container: { container: { bundle: "/b" } } }],
    ["args", { args: ["sh"] }],
    ["env", { env: ["A=1"] }],
    ["cwd", { cwd: "/" }],
    ["tty", { tty: true }],
  ])("with a bad %s names the field", (field, wrong) => {
    expect(refusal(() => run({ type: "runc", args: [], container: bundle, ...wrong }))).toStartWith(
      `${field}: `,
    );
  });

  test("is of a type that has containers", () => {
    expect(refusal(() => run({ container: bundle }))).toStartWith("container: ");
  });

  test("of containerd's takes an image or a folder, a command in place of its own, and no place of runc's", () => {
    const asked = (container: object) => run({ type: "containerd", args: ["sh"], container });
    const place = { type: "containerd", namespace: "shop", address: "/run/c.sock" };
    expect(asked({ container: place, image: "busybox" })).toMatchObject({
      ...{ args: ["sh"], cwd: "" },
      container: { ...place, image: "busybox" },
    });
    expect(refusal(() => asked({ container: place }))).toStartWith(
      "container: must name an image or a rootfs",
    );
    expect(refusal(() => asked({ container: place, image: "b", rootfs: "/r" }))).toStartWith("container: ");
    expect(refusal(() => asked({ container: place, rootfs: "r" }))).toStartWith("container.rootfs: ");
    expect(refusal(() => asked({ container: { ...place, root: "/r" }, image: "b" }))).toStartWith(
      "container.container.root: goes with type runc",
    );
  });
});

describe("a restore", () => {
  test("must say what of", () => {
    expect(refusal(() => restore({}))).toStartWith("source: ");
  });

  test("leaves the output as it was unless told otherwise", () => {
    expect(restore({ source: { case: "jid", value: "j" } }).output).toBeUndefined();
    expect(restore({ source: { case: "jid", value: "j" }, log: "/l" }).output).toEqual({
      kind: "log",
      path: "/l",
    });
  });

  test("of a container may say where it goes, or nothing of it", () => {
    const of = (container?: MessageInitShape<typeof RestoreRequestSchema>["container"]) =>
      restore({ source: { case: "path", value: "/c" }, container }).container;
    const flags = { noPivot: false, noNewKeyring: false, systemdCgroup: false };
    expect(of()).toBeUndefined();
    expect(of({ container: { type: "runc" } })).toEqual({ type: "runc", ...flags });
    expect(of({ container: { type: "runc", id: "web2", bundle: "/b" } })).toEqual({
      ...flags,
      ...{ type: "runc", id: "web2", bundle: "/b" },
    });
    expect(refusal(() => of({ container: { type: "runc", id: "." } }))).toStartWith(
      "container.container.id: ",
    );
  });

  test("takes a checkpoint's id with a job only, and only a UUID", () => {
    const id = "0b5a1f0e-5b0c-4a57-9a44-0d4c3f0a8f11";
    expect(restore({ source: { case: "jid", value: "j" }, checkpointId: id }).source).toEqual({
      jid: "j",
      checkpointId: id,
    });
    expect(refusal(() => restore({ source: { case: "path", value: "/c" }, checkpointId: id }))).toStartWith(
      "checkpoint_id: ",
    );
    expect(refusal(() => checkpointId("id", "../../x"))).toStartWith("id: ");
  });
});

describe("a kill", () => {
  test("of signal 0 is a SIGKILL", () => {
    expect(kill({ jids: ["j"] })).toEqual({ jids: ["j"], all: false, signal: 9 });
  });

  test("names jobs or means all, not both and not neither", () => {
    expect(refusal(() => kill({}))).toStartWith("jids: ");
    expect(refusal(() => kill({ all: true, jids: ["j"] }))).toStartWith("jids: ");
    expect(refusal(() => kill({ jids: ["j"], signal: 65 }))).toStartWith("signal: ");
    expect(refusal(() => kill({ jids: ["ok", "not ok"] }))).toStartWith("jids[1]: ");
  });
});

const manage = (request: MessageInitShape<typeof ManageRequestSchema>) =>
  requests.manage(create(ManageRequestSchema, request));
const query = (request: MessageInitShape<typeof QueryRequestSchema>) =>
  requests.query(create(QueryRequestSchema, request));

describe("a manage", () => {
  test("needs a pid or a container, and not both", () => {
    expect(manage({ pid: 5 }).target).toEqual({ pid: 5 });
    expect(manage({ container: web, upcoming: true })).toEqual({
      target: { container: { type: "runc", id: "web" } },
      upcoming: true,
    });
    expect(refusal(() => manage({}))).toStartWith("pid: ");
    expect(refusal(() => manage({ pid: 5, container: web }))).toStartWith("pid: ");
    expect(refusal(() => manage({ container: {} }))).toStartWith("container.type: ");
  });
});

describe("a query", () => {
  test("of processes needs targets, and names the bad one", () => {
    expect(refusal(() => query({}))).toStartWith("targets: ");
    expect(refusal(() => query({ targets: [{ target: { case: "pid", value: 1 } }, {}] }))).toStartWith(
      "targets[1]: ",
    );
    expect(refusal(() => query({ targets: [container(web)] }))).toStartWith("targets[0]: ");
  });

  test("of containers takes none for all, and an empty id for all of a root", () => {
    expect(query({ type: "runc" }).targets).toEqual([]);
    expect(query({ type: "runc", targets: [container({ type: "runc", root: "/r" })] }).targets).toEqual([
      { container: { type: "runc", id: "", root: "/r" } },
    ]);
  });

  test.each([
    ["type", { type: "docker" }],
    ["targets[0].container.type", { type: "containerd", targets: [container({ type: "runc", id: "x" })] }],
    ["targets[0]", { type: "runc", targets: [{ target: { case: "pid", value: 1 } }] }],
    ["targets[0]", { type: "runc", targets: [{ target: { case: "jid", value: "j" } }] }],
    ["targets[0].container.id", { type: "runc", targets: [container({ type: "runc", id: ".." })] }],
    ["targets[0].container.root", { type: "runc", targets: [container({ type: "runc", root: "r" })] }],
  ] satisfies [string, MessageInitShape<typeof QueryRequestSchema>][])(
    "with a bad %s names it",
    (field, request) => {
      expect(refusal(() => query(request))).toStartWith(`${field}: `);
    },
  );
});
