/** Calls of the CRI by a client that shares nothing with ours. */
import { join } from "node:path";
import { credentials, makeGenericClientConstructor } from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

/** Every answer that a test looks at is one id. */
type Answer = { pod_sandbox_id?: string; container_id?: string };
export type Call = (method: string, request: Record<string, unknown>) => Promise<Answer>;

export function callsOf(socket: string): Call {
  const proto = loadSync(join(import.meta.dir, "pods.proto"), { keepCase: true, enums: String });
  const definition = proto["runtime.v1.RuntimeService"];
  if (definition === undefined || "format" in definition) throw new Error("pods.proto has no RuntimeService");
  const Client = makeGenericClientConstructor(definition, "RuntimeService");
  return (name, request) =>
    new Promise((resolve, reject) => {
      const client = new Client(`unix:${socket}`, credentials.createInsecure());
      const method = definition[name];
      if (method === undefined) throw new Error(`no ${name}`);
      client.makeUnaryRequest(
        method.path,
        method.requestSerialize,
        method.responseDeserialize,
        request,
        (error, answer) => {
          client.close();
          if (error) reject(error);
          else resolve(answer ?? {});
        },
      );
    });
}
