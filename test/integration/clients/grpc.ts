/** gRPC's own JavaScript client, @grpc/grpc-js, with nothing but our proto files. */
import { join } from "node:path";
import {
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type MethodDefinition,
} from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { root } from "../daemon.ts";

const includeDirs = [join(root, "proto")];

export class GrpcService {
  readonly #methods: Record<string, MethodDefinition<object, object>>;
  readonly #client: Client;

  /** `address` as gRPC writes it: "unix:/path" or "host:port". */
  constructor(address: string, file: string, service: string) {
    const definition = loadSync(file, {
      includeDirs,
      keepCase: true,
      enums: String,
      longs: Number,
      defaults: true,
      oneofs: true,
    });
    const found = definition[service];
    if (found === undefined || "format" in found) throw new Error(`${file} has no service ${service}`);
    this.#methods = found;
    this.#client = new Client(address, credentials.createInsecure());
  }

  /** The answer; rejects with a ServiceError. */
  unary(method: string, request: object, metadata = new Metadata()): Promise<object> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    return new Promise((resolve, reject) => {
      this.#client.makeUnaryRequest(
        path,
        requestSerialize,
        responseDeserialize,
        request,
        metadata,
        (error, answer) => {
          if (error) reject(error);
          else resolve(answer ?? {});
        },
      );
    });
  }

  watch(method: string, request: object): ClientReadableStream<object> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    return this.#client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, request);
  }

  both(method: string): ClientDuplexStream<object, object> {
    const { path, requestSerialize, responseDeserialize } = this.#method(method);
    return this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize);
  }

  close(): void {
    this.#client.close();
  }

  #method(name: string): MethodDefinition<object, object> {
    const method = this.#methods[name];
    if (method === undefined) throw new Error(`no method ${name}`);
    return method;
  }
}

export function daemonService(address: string): GrpcService {
  return new GrpcService(address, "cedana/daemon/v1/daemon.proto", "cedana.daemon.v1.DaemonService");
}
