/**
 * A real S3 server on loopback: Ceph's RADOS gateway with a cluster of one monitor and one OSD behind it that keeps
 * everything in memory. It is what many people run as their S3: it checks SigV4, has multipart uploads with list and
 * abort, ranges and ListObjectsV2, comes from Debian's and Ubuntu's own packages (ceph-mon, ceph-osd, radosgw), is up
 * in 1 s, needs no root, and takes 270 MiB/s on two cores that it shares with the client.
 *
 * Looked at and not taken: Swift's S3 layer (Python; five servers, rings and extended attributes, and slower); s3rver of
 * npm (unmaintained; no list and no abort of uploads); dbstore, the gateway's own file (not in Debian 12's version).
 * MinIO, Garage and Versity's gateway are in neither registry.
 */
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { AwsClient } from "aws4fetch";
import type { Subprocess } from "bun";
import { freePort } from "../free_port.ts";

export interface S3Server {
  /** "http://127.0.0.1:PORT" */
  endpoint: string;
  accessKey: string;
  secretKey: string;
  /** Makes a bucket, and resolves with its name: of its own, unless given. */
  createBucket(name?: string): Promise<string>;
  /** Temporary keys, as the store gives them to whoever has the lasting ones. */
  sessionKeys(): Promise<{ accessKey: string; secretKey: string; sessionToken: string }>;
  /** Any request, signed with the server's own keys: "/bucket/key?query". */
  ask(path: string, init?: RequestInit): Promise<Response>;
  stop(): Promise<void>;
}

const region = "us-east-1";

/**
 * `sessions`: it knows temporary keys as well (`sessionKeys`), and then calls any wrong key by one name, AccessDenied.
 */
export async function startS3({ sessions = false }: { sessions?: boolean } = {}): Promise<S3Server> {
  const dir = mkdtempSync(join(tmpdir(), "cedana-s3-"));
  const [mon, rgw] = [await freePort(), await freePort()];
  const conf = join(dir, "ceph.conf");
  for (const name of ["mon", "osd"]) mkdirSync(join(dir, name));
  const [fsid, osd] = [crypto.randomUUID(), crypto.randomUUID()];
  writeFileSync(conf, configuration({ dir, fsid, mon, rgw, sessions }));
  const run = (program: string, ...argv: string[]) => finish([program, "-c", conf, ...argv]);
  const servers: Subprocess[] = [];
  const start = (program: string, ...argv: string[]) => {
    servers.unshift(serve([program, "-c", conf, "-f", ...argv], join(dir, `${program}.stderr`)));
  };
  const stop = async () => {
    for (const server of servers) {
      server.kill("SIGKILL"); // nothing of it is to be kept
      await server.exited;
    }
    rmSync(dir, { recursive: true, force: true });
  };
  const accessKey = "AKIACEDANATESTS";
  const secretKey = crypto.randomUUID();
  try {
    const map = join(dir, "monmap");
    await finish(["monmaptool", "--create", "--addv", "a", `v2:127.0.0.1:${mon}`, "--fsid", fsid, map]);
    await run("ceph-mon", "-i", "a", "--mkfs", "--monmap", map);
    start("ceph-mon", "-i", "a");
    await run("ceph", "--connect-timeout", "30", "osd", "new", osd);
    await run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd);
    start("ceph-osd", "-i", "0");
    const keys = ["--access-key", accessKey, "--secret-key", secretKey];
    await run(
      "radosgw-admin",
      "user",
      "create",
      "--uid",
      "cedana",
      "--display-name",
      "cedana",
      "--caps",
      "user-policy=*",
      ...keys,
    );
    start("radosgw", "-n", "client.rgw");
    const endpoint = `http://127.0.0.1:${rgw}`;
    await answering(endpoint, servers);
    const client = (service: string) =>
      new AwsClient({ accessKeyId: accessKey, secretAccessKey: secretKey, service, region, retries: 0 });
    const ask = (path: string, init?: RequestInit) => client("s3").fetch(endpoint + path, init);
    const query = async (service: string, parameters: Record<string, string>) => {
      const path = `${endpoint}/?${new URLSearchParams(parameters)}`;
      const response = await client(service).fetch(path, { method: "POST" });
      if (!response.ok) throw new Error(`${service}: ${response.status} ${await response.text()}`);
      return response.text();
    };
    return {
      endpoint,
      accessKey,
      secretKey,
      ask,
      async createBucket(name = `bucket-${crypto.randomUUID()}`) {
        const response = await ask(`/${name}`, { method: "PUT" });
        if (!response.ok) throw new Error(`no bucket ${name}: ${response.status} ${await response.text()}`);
        return name;
      },
      async sessionKeys() {
        const Statement = [{ Effect: "Allow", Action: ["s3:*", "sts:*"], Resource: ["*"] }];
        const PolicyDocument = JSON.stringify({ Version: "2012-10-17", Statement });
        const policy = { Action: "PutUserPolicy", PolicyName: "all", UserName: "cedana", PolicyDocument };
        await query("iam", policy);
        const answer = await query("sts", { Action: "GetSessionToken", Version: "2011-06-15" });
        const field = (name: string) => answer.split(`<${name}>`)[1]?.split("<")[0] ?? "";
        return {
          accessKey: field("AccessKeyId"),
          secretKey: field("SecretAccessKey"),
          sessionToken: field("SessionToken"),
        };
      },
      stop,
    };
  } catch (error) {
    const outputs = readdirSync(dir).filter((name) => /\.(stderr|log)$/.test(name));
    const said = outputs
      .map((name) => `${name}: ${readFileSync(join(dir, name), "utf8").slice(-1000)}`)
      .join("\n");
    await stop();
    throw new Error(`no S3 server: ${error instanceof Error ? error.message : error}\n${said}`);
  }
}

/** No authentication inside the cluster, so that it needs no keys; fast elections; few placement groups. */
function configuration(options: {
  dir: string;
  fsid: string;
  mon: number;
  rgw: number;
  sessions: boolean;
}): string {
  const { dir, fsid, mon, rgw, sessions } = options;
  const quiet = ["ms", "osd", "rgw", "objecter", "rados", "auth", "monc", "mon", "paxos", "memstore"];
  return `[global]
fsid = ${fsid}
mon host = v2:127.0.0.1:${mon}
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
ms crc data = false
mon data = ${dir}/mon
mon data avail crit = 0
mon data avail warn = 0
paxos propose interval = 0.02
paxos min wait = 0.01
mon allow pool size one = true
mon max pg per osd = 1000
osd data = ${dir}/osd
osd objectstore = memstore
memstore device bytes = 17179869184
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pgp num = 4
osd crush chooseleaf type = 0
osd crush update on start = true
rgw frontends = beast endpoint=127.0.0.1:${rgw} tcp_nodelay=1
rgw max chunk size = 8388608
rgw obj stripe size = 8388608
rgw put obj min window size = 33554432
rgw gc obj min wait = 1
rgw gc processor period = 2
rgw gc processor max time = 10
rgw s3 auth use sts = ${sessions}
rgw sts key = cedana-tests-key
run dir = ${dir}
admin socket =
pid file =
crash dir =
log file = ${dir}/$name.log
mon cluster log file = ${dir}/cluster.log
${quiet.map((part) => `debug ${part} = 0/0`).join("\n")}
`;
}

/** The environment must not lead Ceph to a cluster of the host's. */
const env = { PATH: process.env.PATH, HOME: tmpdir() };

/** A server of the test: it ends with it, however that ends. */
function serve(argv: string[], output: string): Subprocess {
  const command = ["setpriv", "--pdeathsig", "KILL", ...argv];
  return Bun.spawn(command, { env, stdin: "ignore", stdout: "ignore", stderr: Bun.file(output) });
}

async function finish(argv: string[]): Promise<void> {
  const child = Bun.spawn(argv, { env, stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) !== 0) throw new Error(`${argv[0]} failed: ${said.slice(-2000)}`);
}

async function answering(endpoint: string, servers: Subprocess[]): Promise<void> {
  for (;;) {
    const ended = servers.find(({ exitCode, signalCode }) => exitCode !== null || signalCode !== null);
    if (ended !== undefined)
      throw new Error(`process ${ended.pid} of it ended (${ended.exitCode ?? ended.signalCode})`);
    const answer = await fetch(endpoint).catch(() => undefined);
    if (answer?.ok === true) return;
    await Bun.sleep(20);
  }
}
