/** A bucket on a real S3 server of its own: no upload finds what an earlier one left to be tidied up. */
import { startS3 } from "../integration/s3/server.ts";

/** Bytes of the object that makes the server ready: it creates its pools when they are first written to. */
const first = 32 << 20;

export interface Bucket extends AsyncDisposable {
  name: string;
  /** Leads any client of S3 to it. */
  env: Record<string, string>;
}

export async function startBucket(): Promise<Bucket> {
  const server = await startS3();
  const { endpoint, accessKey: accessKeyId, secretKey: secretAccessKey } = server;
  try {
    const name = await server.createBucket();
    await new Bun.S3Client({ endpoint, bucket: name, accessKeyId, secretAccessKey }).write(
      "first",
      new Uint8Array(first),
    );
    const env = {
      AWS_ENDPOINT_URL: endpoint,
      AWS_ACCESS_KEY_ID: accessKeyId,
      AWS_SECRET_ACCESS_KEY: secretAccessKey,
    };
    return { name, env, [Symbol.asyncDispose]: () => server.stop() };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
