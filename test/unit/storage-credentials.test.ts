import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { CedanaError } from "../../src/errors.ts";
import { credentialsOf, type StorageSettings } from "../../src/storage/credentials.ts";

let home: string;
beforeAll(() => {
  home = mkdtempSync(join(tmpdir(), "cedana-keys-"));
  mkdirSync(join(home, ".aws"));
  writeFileSync(
    join(home, ".aws/credentials"),
    `# made by hand
[default]
aws_access_key_id = FILEID
aws_secret_access_key=file/secret+with=signs

[work]
AWS_ACCESS_KEY_ID = WORKID
aws_secret_access_key = work-secret
aws_session_token = work-token
[people]
sso_account_id = 1
`,
  );
  writeFileSync(
    join(home, ".aws/config"),
    "[default]\nregion = eu-central-1\ns3 =\n  max_concurrent_requests = 20\n[profile work]\nregion = eu-west-3\n",
  );
});
afterAll(() => rmSync(home, { recursive: true }));

const empty = { access_key_id: "", secret_access_key: "", endpoint: "" };
const settings = (aws: Partial<StorageSettings["aws"]> = {}, gcs = {}): StorageSettings => ({
  aws: { ...empty, session_token: "", region: "", ...aws },
  gcs: { ...empty, ...gcs },
});
const own = { access_key_id: "OWNID", secret_access_key: "own-secret" };
const s3 = (aws?: Partial<StorageSettings["aws"]>, env: Record<string, string> = {}) =>
  credentialsOf(settings(aws), { scheme: "s3", owner: { home, env } });

test("the configuration's keys come first, the region from the file where they say none", () => {
  expect(s3({ ...own, session_token: "own-token" })).toEqual({
    accessKeyId: "OWNID",
    secretAccessKey: "own-secret",
    sessionToken: "own-token",
    region: "eu-central-1",
    endpoint: undefined,
  });
});

test("without any there, the shared files of the owner's home are read", () => {
  expect(s3()).toMatchObject({ accessKeyId: "FILEID", secretAccessKey: "file/secret+with=signs" });
});

test("AWS_PROFILE chooses the profile in both files", () => {
  expect(s3({}, { AWS_PROFILE: "work" })).toEqual({
    accessKeyId: "WORKID",
    secretAccessKey: "work-secret",
    sessionToken: "work-token",
    region: "eu-west-3",
    endpoint: undefined,
  });
});

test("AWS_SHARED_CREDENTIALS_FILE and AWS_CONFIG_FILE stand for the files", () => {
  const other = join(home, "other");
  writeFileSync(other, "[default]\naws_access_key_id=A\naws_secret_access_key=B\nregion=mars\n");
  const env = { AWS_SHARED_CREDENTIALS_FILE: other, AWS_CONFIG_FILE: join(home, "none") };
  expect(s3({}, env)).toMatchObject({ accessKeyId: "A", secretAccessKey: "B", region: "mars" });
});

test("gs:// has keys and an endpoint of its own", () => {
  const gcs = { access_key_id: "GOOG", secret_access_key: "hmac", endpoint: "https://example.org" };
  const found = credentialsOf(settings(own, gcs), { scheme: "gs", owner: { home, env: {} } });
  expect(found).toMatchObject({ accessKeyId: "GOOG", region: "auto", endpoint: "https://example.org" });
});

describe("one clear line, without the secret, when", () => {
  const failing: [string, () => unknown, RegExp][] = [
    ["there are none", () => s3({}, { AWS_PROFILE: "nobody" }), /no keys .*credentials.* of profile nobody$/],
    [
      "gs:// has none",
      () => credentialsOf(settings(own), { scheme: "gs", owner: { home, env: {} } }),
      /gs:\/\//,
    ],
    ["half is set", () => s3({ access_key_id: "X" }), /^aws\.secret_access_key is empty/],
    ["a profile signs in by other means", () => s3({}, { AWS_PROFILE: "people" }), /by sso_account_id/],
    ["the endpoint is no address", () => s3({ ...own, endpoint: "host:9000" }), /^aws\.endpoint /],
    ["the endpoint has a password", () => s3({ ...own, endpoint: "https://u:file@host" }), /^aws\.endpoint /],
    ["the file is a folder", () => s3({}, { AWS_SHARED_CREDENTIALS_FILE: home }), /: it is not a file$/],
  ];
  test.each(failing)("%s", (_, action, message) => {
    const error = thrownBy(action);
    expect(error.reason).toBe("BAD_CONFIG");
    expect(error.message).toMatch(message);
    expect(error.message).not.toMatch(/\n|secret\+|u:file/);
    expect(error.hint).toBeDefined();
  });

  test.each(["aws_secret_access_key = top\n", "[default\n", "[default]\ntop secret\n"])(
    "the file is malformed: %j",
    (text) => {
      const path = join(home, "malformed");
      writeFileSync(path, text);
      const error = thrownBy(() => s3({}, { AWS_SHARED_CREDENTIALS_FILE: path }));
      expect(error.message).toMatch(/malformed: line \d is neither \[a section\] nor key = value$/);
      expect(error.message).not.toContain("top");
    },
  );

  test("the file may not be read by whom it is asked for", async () => {
    const path = join(home, "of-root");
    writeFileSync(path, "[default]\n", { mode: 0o600 });
    const child = Bun.spawn([process.execPath, "-e", askingFor(path)], {
      stderr: "pipe",
      cwd: "/",
      ...(process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {}),
    });
    if (process.getuid?.() !== 0) throw new Error("needs root, to ask as somebody else");
    expect(await new Response(child.stdout).text()).toContain(`in ${path}: permission denied`);
  });
});

/** A program that prints why credentials in `path` are not had. */
function askingFor(path: string): string {
  const module = join(import.meta.dir, "../../src/storage/profile.ts");
  return `const { readProfile } = await import(${JSON.stringify(module)});
    try { readProfile(${JSON.stringify(path)}, ["default"]); } catch (error) { console.log(error.message); }`;
}

function thrownBy(action: () => unknown): CedanaError {
  try {
    action();
  } catch (error) {
    if (error instanceof CedanaError) return error;
    throw error;
  }
  throw new Error("nothing was thrown");
}
