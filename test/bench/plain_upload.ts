/**
 * plain_upload.ts FOLDER BUCKET: every file of a folder into a bucket, large ones as multipart uploads of four parts at
 * once, by Bun's own S3 client, of which we use nothing. AWS_ENDPOINT_URL and the keys are in the environment.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";

const [folder = "", bucket = ""] = process.argv.slice(2);
const client = new Bun.S3Client({ bucket, endpoint: process.env.AWS_ENDPOINT_URL });
for (const name of readdirSync(folder)) {
  await client.write(`plain/${name}`, Bun.file(join(folder, name)), { partSize: 8 << 20, queueSize: 4 });
}
