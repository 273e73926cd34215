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

test("a manage needs a pid", () => {
  expect(refusal(() => requests.manage(create(ManageRequestSchema, {})))).toStartWith("pid: ");
});

test("a query needs targets, and names the bad one", () => {
  const query = (targets: MessageInitShape<typeof TargetSchema>[]) =>
    requests.query(create(QueryRequestSchema, { targets }));
  expect(refusal(() => query([]))).toStartWith("targets: ");
  expect(refusal(() => query([{ target: { case: "pid", value: 1 } }, {}]))).toStartWith("targets[1]: ");
});
