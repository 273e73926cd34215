/** Generic clients: they learn from the daemon itself what can be called. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { status } from "@grpc/grpc-js";
import { ErrorDetailSchema } from "../../../src/gen/cedana/daemon/v1/error_pb.ts";
import { root, startTestDaemon, type TestDaemon } from "../daemon.ts";
import { GrpcService } from "./grpc.ts";

const services = [
  "cedana.daemon.v1.DaemonService",
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
];

let daemon: TestDaemon;
beforeAll(async () => {
  daemon = await startTestDaemon();
});
afterAll(() => daemon.stop());

/** `buf curl` in a folder without our proto files. */
async function bufCurl(...args: string[]) {
  const buf = join(root, "node_modules/.bin/buf");
  const options = ["--http2-prior-knowledge", "--unix-socket", daemon.socket, ...args];
  const child = Bun.spawn([buf, "curl", ...options], { cwd: daemon.dir, stdout: "pipe", stderr: "pipe" });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { stdout, stderr, code };
}

test.each(["grpc", "grpcweb", "connect"])("buf curl calls by reflection over %s", async (protocol) => {
  const url = "http://localhost/cedana.daemon.v1.DaemonService/List";
  const { code, stdout, stderr } = await bufCurl("--protocol", protocol, "-d", "{}", url);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toBeObject();
});

test("buf curl lists the services and methods", async () => {
  expect((await bufCurl("--list-services", "http://localhost")).stdout.trim().split("\n").sort()).toEqual(
    services,
  );
  const { stdout } = await bufCurl("--list-methods", "http://localhost");
  expect(stdout).toContain("cedana.daemon.v1.DaemonService/Attach");
});

test("buf curl gets the message and the detail of a failure", async () => {
  const url = "http://localhost/cedana.daemon.v1.DaemonService/Get";
  const { code, stderr } = await bufCurl("--protocol", "grpc", "-d", '{"target":{"jid":"nobody"}}', url);
  expect(code).not.toBe(0);
  const { message, details } = JSON.parse(stderr);
  expect(message).toContain("nobody");
  const detail = fromBinary(ErrorDetailSchema, Buffer.from(details[0].value, "base64"));
  expect(detail).toMatchObject({ reason: "JOB_NOT_FOUND" });
});

test.each(["v1", "v1alpha"])(
  "gRPC's own reflection client of %s finds files by symbol and by name",
  async (version) => {
    const file = `grpc/reflection/${version}/reflection.proto`;
    const client = new GrpcService(
      `unix:${daemon.socket}`,
      file,
      `grpc.reflection.${version}.ServerReflection`,
    );
    const call = client.both("ServerReflectionInfo");
    const answers: object[] = [];
    const over = new Promise((resolve, reject) => call.on("end", resolve).on("error", reject));
    call.on("data", (answer: object) => answers.push(answer));
    call.write({ list_services: "" });
    call.write({ file_containing_symbol: "cedana.daemon.v1.DaemonService.Dump" });
    call.write({ file_by_filename: "cedana/daemon/v1/job.proto" });
    call.write({ file_containing_symbol: "cedana.daemon.v1.ErrorDetail" });
    call.write({ file_containing_symbol: "no.such.Thing" });
    call.end();
    await over;
    client.close();
    const [list, symbol, name, detail, missing] = answers;
    expect(list).toMatchObject({ list_services_response: { service: services.map((name) => ({ name })) } });
    expect(files(symbol)).toEqual([
      "google/protobuf/timestamp.proto",
      "cedana/daemon/v1/job.proto",
      "cedana/daemon/v1/daemon.proto",
    ]);
    expect(files(name)).toEqual(["google/protobuf/timestamp.proto", "cedana/daemon/v1/job.proto"]);
    expect(files(detail)).toEqual(["cedana/daemon/v1/error.proto"]);
    expect(missing).toMatchObject({ error_response: { error_code: status.NOT_FOUND } });
  },
);

/** Names of the files in an answer. */
function files(answer: object | undefined): string[] {
  const response = answer && Reflect.get(answer, "file_descriptor_response");
  return response.file_descriptor_proto.map(
    (bytes: Buffer) => fromBinary(FileDescriptorProtoSchema, bytes).name,
  );
}
