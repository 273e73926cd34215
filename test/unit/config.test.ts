import { afterAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConfigSources, loadConfig } from "../../src/config/load.ts";
import { keys } from "../../src/config/schema.ts";
import { writeConfig } from "../../src/config/write.ts";
import { CedanaError } from "../../src/errors.ts";

const root = mkdtempSync(join(tmpdir(), "cedana-config-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));

let count = 0;
/** A folder of its own, with this configuration file in it. */
function folder(content?: unknown): string {
  count += 1;
  const dir = join(root, `config-${count}`);
  mkdirSync(dir);
  const text = typeof content === "string" ? content : JSON.stringify(content);
  if (content !== undefined) writeFileSync(join(dir, "config.json"), text);
  return dir;
}

const load = (sources: Partial<ConfigSources> = {}) =>
  loadConfig({ dir: folder(), env: {}, home: root, ...sources });

function failure(run: () => unknown): CedanaError {
  try {
    run();
  } catch (error) {
    if (error instanceof CedanaError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}

describe("defaults", () => {
  test("are those of the contract", () => {
    const config = load();
    expect(config.address).toBe("/run/cedana.sock");
    expect(config.protocol).toBe("unix");
    expect(config.checkpoint).toMatchObject({ dir: "/tmp", compression: "tar", sync: true, async: false });
    expect(config.db).toEqual({ path: "/tmp/cedana.db", remote: false });
    expect(config.profiling.enabled).toBe(false);
  });

  test("of tcp listen on loopback", () => {
    expect(load({ env: { CEDANA_PROTOCOL: "TCP" } }).address).toBe("127.0.0.1:8080");
  });
});

describe("precedence", () => {
  test("is --config over the environment over the file over the defaults", () => {
    const dir = folder({ checkpoint: { dir: "/file", compression: "gzip", streams: 2 }, log_level: "error" });
    const env = { CEDANA_CHECKPOINT_DIR: "/env", CEDANA_CHECKPOINT_COMPRESSION: "lz4" };
    const config = load({ dir, env, json: '{"checkpoint":{"dir":"/json"}}' });
    expect(config.checkpoint).toMatchObject({ dir: "/json", compression: "lz4", streams: 2, sync: true });
    expect(config.log_level).toBe("error");
  });

  test("puts a flag of its own over all", () => {
    const flags = new Map([["address", { flag: "--address", value: "/flag" }]]);
    expect(load({ json: '{"address":"/json"}', flags }).address).toBe("/flag");
  });
});

describe("environment names", () => {
  test("follow the section and the field", () => {
    expect(load({ env: { CEDANA_PROFILING_ENABLED: "true" } }).profiling.enabled).toBe(true);
    expect(load({ env: { CEDANA_CHECKPOINT_STREAMS: "4" } }).checkpoint.streams).toBe(4);
  });

  test.each([
    ["CEDANA_METRICS_ENABLED", "true", (c) => c.metrics, true],
    ["CEDANA_URL", "https://example.com", (c) => c.connection.url, "https://example.com"],
    ["CEDANA_AUTH_TOKEN", "secret", (c) => c.connection.auth_token, "secret"],
    ["CEDANA_CLUSTER_ID", "c1", (c) => c.connection.cluster_id, "c1"],
    ["CEDANA_REMOTE", "1", (c) => c.db.remote, true],
    ["CEDANA_WAIT_FOR_READY", "TRUE", (c) => c.client.wait_for_ready, true],
    ["AWS_REGION", "eu-west-1", (c) => c.aws.region, "eu-west-1"],
  ] satisfies [string, string, (c: ReturnType<typeof load>) => unknown, unknown][])(
    "%s is known too",
    (name, value, get, expected) => {
      expect(get(load({ env: { [name]: value } }))).toBe(expected);
    },
  );

  test("that are empty count as unset", () => {
    expect(load({ env: { CEDANA_PROTOCOL: "" } }).protocol).toBe("unix");
  });

  test("are each used by one key", () => {
    const names = keys.flatMap((key) => key.env);
    expect(new Set(names).size).toBe(names.length);
  });
});

describe("what is wrong is named", () => {
  test.each([
    [
      { env: { CEDANA_PROTOCOL: "udp" } },
      'CEDANA_PROTOCOL: key protocol: must be one of unix, tcp, got "udp"',
    ],
    [
      { json: '{"checkpoint":{"streams":-1}}' },
      "--config: key checkpoint.streams: must be 0, or a whole number from 2 to 64, got -1",
    ],
    [
      { json: '{"checkpoint":{"sync":"maybe"}}' },
      '--config: key checkpoint.sync: must be true or false, got "maybe"',
    ],
    [{ json: '{"db":3}' }, "--config: key db: must be an object, got 3"],
    [{ json: "[]" }, "--config: must be a JSON object"],
    [
      { json: '{"connection":{"auth_token":7}}' },
      "--config: key connection.auth_token: must be text, got something else",
    ],
    [
      { env: { CEDANA_ADDRESS: "/run/x", CEDANA_PROTOCOL: "tcp" } },
      'CEDANA_ADDRESS: key address: must be HOST:PORT for protocol tcp, got "/run/x"',
    ],
    [
      { env: { CEDANA_ADDRESS: "127.0.0.1:80" } },
      'CEDANA_ADDRESS: key address: must be a path for protocol unix, got "127.0.0.1:80"',
    ],
  ] satisfies [Partial<ConfigSources>, string][])("%j", (sources, message) => {
    const error = failure(() => load(sources));
    expect(error.reason).toBe("BAD_CONFIG");
    expect(error.message).toBe(message);
  });

  test("an unknown key, with the allowed ones", () => {
    const dir = folder({ checkpoint: { directory: "/x" } });
    const { message } = failure(() => load({ dir }));
    expect(message).toStartWith(
      `${dir}/config.json: unknown key checkpoint.directory; allowed are checkpoint.dir, `,
    );
    expect(failure(() => load({ json: '{"checkpont":{}}' })).message).toContain(
      "unknown key checkpont; allowed are address",
    );
  });

  test("broken JSON, with the file's name", () => {
    const dir = folder("{ not json");
    expect(failure(() => load({ dir })).message).toStartWith(`${dir}/config.json: not valid JSON: `);
  });
});

describe("the first Cedana's file", () => {
  const home = join(root, "home");
  mkdirSync(join(home, ".cedana"), { recursive: true });
  writeFileSync(
    join(home, ".cedana", "cedana_config.json"),
    JSON.stringify({ client: { leave_running: true }, shared_storage: { dump_storage_dir: "/old" } }),
  );

  test("gives the checkpoint folder when there is no newer one", () => {
    expect(load({ home }).checkpoint.dir).toBe("/old");
    expect(load({ home, env: { CEDANA_CHECKPOINT_DIR: "/env" } }).checkpoint.dir).toBe("/env");
  });

  test("is not read beside a newer one", () => {
    expect(load({ home, dir: folder({}) }).checkpoint.dir).toBe("/tmp");
  });

  test("goes over into a newer one", () => {
    const dir = folder();
    writeConfig({ dir, env: {}, home, merge: false });
    expect(load({ dir }).checkpoint.dir).toBe("/old");
  });
});

describe("writing the file", () => {
  const read = (dir: string) => JSON.parse(readFileSync(join(dir, "config.json"), "utf8"));

  test("puts in the defaults and the environment, for its owner only, and leaves nothing else", () => {
    const dir = join(folder(), "new");
    const env = { CEDANA_CHECKPOINT_STREAMS: "3" };
    expect(writeConfig({ dir, env, home: root, merge: false })).toEqual({
      path: join(dir, "config.json"),
      outcome: "created",
    });
    expect(statSync(join(dir, "config.json")).mode & 0o777).toBe(0o600);
    expect(readdirSync(dir)).toEqual(["config.json"]);
    expect(read(dir)).toMatchObject({
      address: "/run/cedana.sock",
      checkpoint: { streams: 3, compression: "tar" },
    });
    expect(load({ dir })).toEqual(load({ env }));
  });

  test("keeps one that is there", () => {
    const dir = folder({ log_level: "error" });
    expect(writeConfig({ dir, env: { CEDANA_LOG_LEVEL: "debug" }, merge: false }).outcome).toBe("kept");
    expect(read(dir)).toEqual({ log_level: "error" });
  });

  test("merges the environment into one that is there when asked", () => {
    const dir = folder({ log_level: "error", checkpoint: { dir: "/file" } });
    expect(writeConfig({ dir, env: { CEDANA_LOG_LEVEL: "debug" }, merge: true }).outcome).toBe("merged");
    expect(read(dir)).toEqual({ log_level: "debug", checkpoint: { dir: "/file" } });
  });

  test("never merges into a broken file, nor a bad value into a good one", () => {
    const dir = folder("{");
    expect(failure(() => writeConfig({ dir, env: {}, merge: true })).reason).toBe("BAD_CONFIG");
    expect(readFileSync(join(dir, "config.json"), "utf8")).toBe("{");
    expect(
      failure(() => writeConfig({ dir: folder({}), env: { CEDANA_PROTOCOL: "x" }, merge: true })).reason,
    ).toBe("BAD_CONFIG");
  });

  test("says so when the folder cannot be written", () => {
    const file = join(folder({}), "config.json");
    expect(failure(() => writeConfig({ dir: join(file, "below"), env: {}, merge: false })).reason).toBe(
      "PATH_NOT_USABLE",
    );
  });
});
