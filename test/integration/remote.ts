/** A daemon of a test's own that stores checkpoints in a real S3 server, through a proxy that misbehaves when told to. */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import type { Storage } from "../../src/storage/storage.ts";
import { startTestDaemon, type TestDaemon } from "./daemon.ts";
import { type FaultProxy, startProxy } from "./s3/proxy.ts";
import { type S3Server, startS3 } from "./s3/server.ts";
import { open } from "./s3/storage.ts";

export interface Remote {
  server: S3Server;
  /** What the daemon takes for the server. */
  proxy: FaultProxy;
  daemon: TestDaemon;
  bucket: string;
  /** "s3://bucket" */
  url: string;
  /** The bucket, without the proxy. */
  storage: Storage;
  /** Names and sizes of the objects below a prefix. */
  objects(prefix?: string): Promise<Map<string, number>>;
  /** Their bytes together. */
  bytes(prefix?: string): Promise<number>;
  /** Objects and unfinished uploads that are below a prefix. */
  left(prefix: string): Promise<string[]>;
  /** Files and folders where the daemon puts checkpoints. */
  local(): string[];
  stop(): Promise<void>;
}

/** `keys`: further environment; the server's own keys otherwise. */
export async function startRemote(options: { sessions?: boolean } = {}): Promise<Remote> {
  const server = await startS3(options);
  const proxy = await startProxy(server.endpoint);
  const bucket = await server.createBucket();
  const daemon = await startTestDaemon({ env: keysOf(server, proxy.endpoint) });
  const storage = open(server, `s3://${bucket}`);
  const list = async (prefix: string) => await storage.list(prefix);
  return {
    ...{ server, proxy, daemon, bucket, storage, url: `s3://${bucket}` },
    objects: async (prefix = "") => new Map((await list(prefix)).map(({ name, size }) => [name, size])),
    bytes: async (prefix = "") => (await list(prefix)).reduce((sum, { size }) => sum + size, 0),
    async left(prefix) {
      const answer = await (await server.ask(`/${bucket}?uploads=&prefix=${prefix}`)).text();
      const uploads = [...answer.matchAll(/<Upload>.*?<Key>(.*?)<\/Key>/gs)].map(
        ([, key]) => `upload of ${key}`,
      );
      return [...(await list(prefix)).map(({ name }) => name), ...uploads];
    },
    local: () => readdirSync(join(daemon.dir, "checkpoints")),
    async stop() {
      await daemon.stop();
      await proxy.stop();
      await server.stop();
    },
  };
}

export function keysOf({ accessKey, secretKey }: S3Server, endpoint: string): Record<string, string> {
  return { AWS_ACCESS_KEY_ID: accessKey, AWS_SECRET_ACCESS_KEY: secretKey, AWS_ENDPOINT_URL: endpoint };
}
