/**
 * Server reflection: generic clients ask which services there are and get our proto files, out of the generated code.
 * v1alpha is the same protocol under an older name, which many clients still speak first.
 */
import {
  create,
  createRegistry,
  type DescFile,
  type DescService,
  fromBinary,
  type MessageInitShape,
  type Registry,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, type ServiceImpl } from "@connectrpc/connect";
import {
  type ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflectionRequestSchema as AlphaRequestSchema,
  ServerReflectionResponseSchema as AlphaResponseSchema,
  type ServerReflection as ServerReflectionAlpha,
} from "../gen/grpc/reflection/v1alpha/reflection_pb.ts";

type Answer = MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"];

/** `others`: files that no service refers to, for example what travels as Any. */
export function reflectionService(
  services: DescService[],
  others: DescFile[],
): ServiceImpl<typeof ServerReflection> {
  const reflect = reflector(services, others);
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) yield reflect(request);
    },
  };
}

export function reflectionAlphaService(
  services: DescService[],
  others: DescFile[],
): ServiceImpl<typeof ServerReflectionAlpha> {
  const reflect = reflector(services, others);
  return {
    async *serverReflectionInfo(requests) {
      for await (const request of requests) {
        // One protocol, so the bytes are the same.
        const same = fromBinary(ServerReflectionRequestSchema, toBinary(AlphaRequestSchema, request));
        yield fromBinary(AlphaResponseSchema, toBinary(ServerReflectionResponseSchema, reflect(same)));
      }
    },
  };
}

function reflector(
  services: DescService[],
  others: DescFile[],
): (request: ServerReflectionRequest) => ServerReflectionResponse {
  const answer = answerer(services, others);
  return (request) =>
    create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse: answer(request),
    });
}

function answerer(services: DescService[], others: DescFile[]): (request: ServerReflectionRequest) => Answer {
  const files = withImports([...services.map((service) => service.file), ...others]);
  const registry = createRegistry(...files);
  const found = (file: DescFile | undefined, what: string): Answer => {
    if (file === undefined) return notFound(what);
    const protos = withImports([file]).map((one) => toBinary(FileDescriptorProtoSchema, one.proto));
    return { case: "fileDescriptorResponse", value: { fileDescriptorProto: protos } };
  };
  return ({ messageRequest: { case: kind, value } }) => {
    switch (kind) {
      case "listServices":
        return {
          case: "listServicesResponse",
          value: { service: services.map((one) => ({ name: one.typeName })) },
        };
      case "fileByFilename":
        // A descriptor's name has no suffix.
        return found(
          files.find((file) => `${file.name}.proto` === value),
          `file ${value}`,
        );
      case "fileContainingSymbol":
        return found(fileOf(registry, value), `symbol ${value}`);
      case "fileContainingExtension":
        return notFound(`extension of ${value.containingType}`);
      case "allExtensionNumbersOfType":
        return registry.getMessage(value)
          ? { case: "allExtensionNumbersResponse", value: { baseTypeName: value, extensionNumber: [] } }
          : notFound(`type ${value}`);
      default:
        return {
          case: "errorResponse",
          value: { errorCode: Code.InvalidArgument, errorMessage: "empty request" },
        };
    }
  };
}

/** The file that declares a type, or the type that a method, field or enum value belongs to. */
function fileOf(registry: Registry, symbol: string): DescFile | undefined {
  const name = symbol.replace(/^\./, "");
  const parent = name.slice(0, Math.max(name.lastIndexOf("."), 0));
  return (registry.get(name) ?? registry.get(parent))?.file;
}

/** Each file once, imports before what imports them. */
function withImports(roots: readonly DescFile[]): DescFile[] {
  const files = new Set<DescFile>();
  const add = (file: DescFile) => {
    if (files.has(file)) return;
    file.dependencies.forEach(add);
    files.add(file);
  };
  roots.forEach(add);
  return [...files];
}

function notFound(what: string): Answer {
  return { case: "errorResponse", value: { errorCode: Code.NotFound, errorMessage: `${what} is not known` } };
}
