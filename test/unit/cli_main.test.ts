import { afterAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { completionScript } from "../../src/cli/complete/scripts.ts";
import { cliMain } from "../../src/cli/main.ts";

const root = mkdtempSync(join(tmpdir(), "cedana-cli-"));
afterAll(() => rmSync(root, { recursive: true, force: true }));
/** No daemon is here, and no configuration of this host's is read. */
const nowhere = ["--config-dir", root, "--address", join(root, "no.sock")];

async function cedana(args: string[], env: Record<string, string> = {}) {
  let out = "";
  let err = "";
  const io = {
    out: (text: string) => {
      out += text;
    },
    err: (text: string) => {
      err += text;
    },
    ...{ colours: false, env: { HOME: root, ...env } },
  };
  return { status: await cliMain(args, io), out, err };
}

describe("exit statuses", () => {
  test("0 for help and version, on stdout", async () => {
    expect(await cedana(["--version"])).toMatchObject({
      status: 0,
      out: expect.stringMatching(/^cedana \S+ \(commit \S+, Bun \d/),
      err: "",
    });
    expect(await cedana(["version"])).toEqual(await cedana(["-v"]));
    expect(await cedana([])).toMatchObject({
      status: 0,
      err: "",
      out: expect.stringContaining("Usage: cedana"),
    });
    expect(await cedana(["ps", "-h"])).toEqual(await cedana(["help", "ps"]));
  });

  test("1 without a daemon, with a hint", async () => {
    const { status, out, err } = await cedana([...nowhere, "ps"]);
    expect({ status, out }).toEqual({ status: 1, out: "" });
    expect(err).toBe(
      `error: the daemon is not running: nothing listens on ${root}/no.sock\nhint: start it with: cedana daemon start\n`,
    );
  });

  test("2 for wrong usage, on stderr", async () => {
    expect(await cedana(["pss"])).toEqual({
      status: 2,
      out: "",
      err: 'error: unknown command "pss"\nhint: did you mean cedana ps?\n',
    });
    expect(await cedana(["dump"])).toMatchObject({
      status: 2,
      out: "",
      err: expect.stringContaining("Usage: cedana dump"),
    });
  });

  test("1 for a broken configuration", async () => {
    const { status, err } = await cedana([...nowhere, "--config", '{"protocol":"udp"}', "ps"]);
    expect(status).toBe(1);
    expect(err).toBe('error: --config: key protocol: must be one of unix, tcp, got "udp"\n');
  });
});

describe("help", () => {
  test("shows usage, own and global flags, and examples", async () => {
    const { out } = await cedana(["manage", "process", "--help"]);
    expect(out).toStartWith(
      "Make a job of a process that runs already\n\nUsage: cedana manage process [flags] <PID>\n",
    );
    expect(out).toContain("\nFlags:\n  -j, --jid ID         id of the job");
    expect(out).toMatch(/\nGlobal flags:\n {6}--address ADDRESS {2,}\S/);
    expect(out).toEndWith("\nExamples:\n  cedana manage process 4242 --jid my_job\n");
  });

  test("wins over what else is wrong with the line", async () => {
    expect(await cedana(["dump", "process", "--nonsense", "--help"])).toMatchObject({ status: 0 });
  });

  test("of the configuration names every key and never a secret's value", async () => {
    const { out } = await cedana(["help", "config"]);
    expect(out).toMatch(/^checkpoint\.compression +tar +CEDANA_CHECKPOINT_COMPRESSION +/m);
    expect(out).toMatch(/^connection\.auth_token +CEDANA_CONNECTION_AUTH_TOKEN, CEDANA_AUTH_TOKEN +/m);
  });
});

describe("what later issues build is refused, never ignored", () => {
  test.each([
    [["run", "runc", "--env", "A=1"], "not supported yet: --env"],
    [["run", "runc", "-g"], "not supported yet: --gpu-enabled"],
    [["manage", "runc", "web", "-g"], "not supported yet: --gpu-enabled"],
    [["dump", "job", "x", "--root", "/r"], "not supported yet: --root of a job"],
    [
      ["manage", "process", "--upcoming", "1"],
      "--upcoming: a process has no name before it exists, so there is nothing to wait for",
    ],
    [["dump", "process", "1", "--gpu-freeze-type", "ipc"], "not supported yet: --gpu-freeze-type"],
    [["dump", "process", "1", "--dir", "cedana://x"], "not supported yet: cedana://…"],
    [["restore", "process", "--path", "cedana://x"], "not supported yet: cedana://…"],
    [["run", "process", "-g", "x"], "not supported yet: --gpu-enabled"],
    [["run", "containerd", "busybox", "--gpus", "all"], "not supported yet: --gpus"],
    [["plugin", "install", "gpu"], "not supported yet: plugin gpu"],
    [["job", "checkpoint", "inspect", "x", "-t", "gpu"], "not supported yet: GPU state in checkpoints"],
  ])("%j", async (args, message) => {
    const { status, out, err } = await cedana([...nowhere, ...args]);
    expect({ status, out }).toEqual({ status: 1, out: "" });
    expect(err.split("\n")[0]).toBe(`error: ${message}`);
  });
});

describe("contradictions are wrong usage", () => {
  test.each([
    [["run", "process", "--attach", "--out", "/x", "ls"], "--out cannot be given with --attach"],
    [
      ["restore", "job", "x", "--checkpoint", "a", "--path", "/b"],
      "--checkpoint and --path both name a checkpoint",
    ],
    [["run", "runc", "--attach", "--detach"], "--detach cannot be given with --attach"],
    [["run", "runc", "--id", ""], "--id must not be empty"],
    [["dump", "runc"], "ID is missing"],
    [["dump", "runc", "-i", ""], "ID is missing"],
    [["dump", "runc", "a", "-i", "b"], '"a" and --id both name a container'],
    [["query", "runc", "a", ""], "ID must not be empty"],
    [["restore", "runc"], "--path is missing"],
    [["restore", "runc", "-d"], "--path is missing"],
    [["restore", "runc", "/c"], 'unexpected argument "/c"\nhint: did you mean --path /c?'],
    [["restore", "runc", "-p", "/x", "-d", "/c"], 'unexpected argument "/c": with --path, -d is --detach'],
    [["kill"], "name a job, or give --all"],
    [["delete", "x", "--all"], "name jobs, or give --all: not both"],
    [["run", "process", "--env", "=1", "ls"], "--env: must be KEY=VALUE"],
    [["features", "proces"], '"proces" is none of process'],
  ])("%j", async (args, message) => {
    const { status, err } = await cedana([...nowhere, ...args]);
    expect(err).toContain(`error: ${message}`);
    expect(status).toBe(2);
  });
});

test("bootstrap writes the configuration once, and merges when asked", async () => {
  const dir = join(root, "etc");
  const bootstrap = (args: string[], env = {}) => cedana(["bootstrap", "--config-dir", dir, ...args], env);
  expect(await bootstrap([])).toMatchObject({ status: 0, out: `created ${dir}/config.json\n` });
  expect(await bootstrap([])).toMatchObject({ status: 1, err: expect.stringContaining("is there already") });
  expect(await bootstrap(["--merge-config"], { CEDANA_LOG_LEVEL: "error" })).toMatchObject({ status: 0 });
  expect(JSON.parse(readFileSync(join(dir, "config.json"), "utf8")).log_level).toBe("error");
});

describe("completion", () => {
  const complete = async (...words: string[]) =>
    (await cedana(["__complete", "bash", ...words], { CEDANA_ADDRESS: join(root, "no.sock") })).out
      .split("\n")
      .filter(Boolean);

  test.each([
    [["che"], ["checkpoints", "check"]],
    [
      ["job", "checkpoint", ""],
      ["list", "ls", "inspect", "verify", "retry", "delete"],
    ],
    [["dump", "process", "--comp"], ["--compression"]],
    [["dump", "process", "1", "--compression", "g"], ["gzip"]],
    [["dump", "process", "1", "--compression=", "=", "z"], []],
    [
      ["dump", "process", "1", "--compression", "=", "z"],
      ["zlib", "zstd"],
    ],
    [
      ["dump", "process", "1", "--compression=z"],
      ["--compression=zlib", "--compression=zstd"],
    ],
    [["--protocol", "unix", "daemon", "s"], ["start"]],
    [["run", "process", "ls", "--att"], []],
    [["run", "process", "--", "--att"], []],
    [["dump", "r"], ["runc"]],
    [
      ["restore", "runc", "--ro"],
      ["--root", "--rootless"],
    ],
    [["restore", "runc", "--rootless", "t"], ["true"]],
    [["dump", "runc", ""], []],
    [["job", "inspect", ""], []],
  ])("%j", async (words, candidates) => {
    expect(await complete(...words)).toEqual(candidates);
  });

  test("describes for the shells that show it", async () => {
    expect((await cedana(["__complete", "fish", "ver"])).out).toBe(
      "version\tPrint version, commit and Bun\n",
    );
    expect((await cedana(["__complete", "zsh", "ver"])).out).toBe("version:Print version, commit and Bun\n");
  });

  test("works in bash, which runs nothing of what was typed", () => {
    const file = join(root, "completion.bash");
    const main = new URL("../../src/main.ts", import.meta.url).pathname;
    writeFileSync(file, completionScript("bash"));
    const script = `
      cedana() { "${process.execPath}" "${main}" "$@"; }
      source ${file}; source ${file}
      COMP_WORDS=(cedana dump process '$(touch ${root}/ran)' --compression z) COMP_CWORD=5
      _cedana
      printf '%s\\n' "\${COMPREPLY[@]}"`;
    const { stdout, exitCode } = Bun.spawnSync(["bash", "-c", script]);
    expect(exitCode).toBe(0);
    expect(stdout.toString()).toBe("zlib\nzstd\n");
    expect(existsSync(join(root, "ran"))).toBe(false);
  });
});
