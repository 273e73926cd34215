import { describe, expect, test } from "bun:test";
import {
  create,
  type DescField,
  type DescMessage,
  equals,
  fromJson,
  toJson as generatedJson,
  type JsonObject,
  type JsonValue,
  type MessageInitShape,
  ScalarType,
} from "@bufbuild/protobuf";
import {
  AttachStartSchema,
  DaemonService,
  DumpRequestSchema,
  RestoreRequestSchema,
  RunRequestSchema,
} from "../../src/gen/cedana/daemon/v1/daemon_pb.ts";
import { type Responses, responses, toJson, toMessage } from "../../src/rpc/shapes.ts";

/** JSON with a value in every field, two in every list. */
function everything(schema: DescMessage): JsonObject {
  const fields = schema.fields.map((field) => [
    field.jsonName,
    field.fieldKind === "list" ? [value(field), value(field)] : value(field),
  ]);
  return Object.fromEntries(fields);
}

function value(field: DescField): JsonValue {
  if (field.fieldKind === "map") return { "": "text", more: "text" };
  if (field.message?.typeName === "google.protobuf.Timestamp") return "2026-11-21T01:48:28.288Z";
  if (field.message) return everything(field.message);
  if (field.enum) return field.enum.values.at(-1)?.name ?? "";
  switch (field.scalar) {
    case ScalarType.UINT64:
      return "9223372036854775815";
    case ScalarType.BOOL:
      return true;
    case ScalarType.STRING:
      return "text";
    default:
      return 7;
  }
}

function isUnary(name: string): name is keyof Responses {
  return name in responses;
}

function read<M extends keyof Responses>(method: M, json: Record<string, unknown>): void {
  toMessage(responses[method], json);
}

const unary = Object.keys(DaemonService.method).filter(isUnary);

describe("an answer in JSON becomes the generated code's own message", () => {
  test("for every call but the two that stream", () => {
    expect(unary.length).toBe(DaemonService.methods.length - 2);
  });

  test.each(unary)("%s", (method) => {
    const schema: DescMessage = DaemonService.method[method].output;
    for (const json of [everything(schema), {}]) {
      const message = fromJson(schema, json);
      // As the server writes it.
      const sent = JSON.parse(JSON.stringify(generatedJson(schema, message, { alwaysEmitImplicit: true })));
      read(method, sent);
      expect(equals(schema, sent, message)).toBe(true);
      expect(generatedJson(schema, sent)).toEqual(generatedJson(schema, message));
    }
  });
});

describe("a request as JSON is what the generated code reads", () => {
  const same = <D extends DescMessage>(schema: D, request: MessageInitShape<D>) => {
    expect(fromJson(schema, JSON.parse(toJson(request)))).toEqual(create(schema, request));
  };

  test("with a chosen one of several fields", () => {
    same(DumpRequestSchema, {
      target: { target: { case: "pid", value: 5 } },
      leaveRunning: false,
      criu: { shellJob: true },
    });
    same(RestoreRequestSchema, { source: { case: "path", value: "/x" } });
    same(DumpRequestSchema, {
      target: { target: { case: "container", value: { type: "runc", id: "web", root: undefined } } },
    });
    same(AttachStartSchema, {
      target: { target: { case: "jid", value: "j" } },
      terminal: { rows: 1, cols: 2 },
    });
  });

  test("with none of them chosen, and with made messages", () => {
    same(RestoreRequestSchema, { source: { case: undefined } });
    same(RestoreRequestSchema, create(RestoreRequestSchema, { source: { case: "jid", value: "j" } }));
  });

  test("with lists, enums and odd characters", () => {
    same(RunRequestSchema, { args: ["é", '"', "\n", ""], env: ["A=\u{1f600}"], stdio: 2, umask: 0 });
  });
});
