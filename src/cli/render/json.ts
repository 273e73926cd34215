/** Messages as the API's own JSON: the same words as over HTTP, so programs learn one set of names. */
import { type DescMessage, type MessageShape, toJson } from "@bufbuild/protobuf";

export function renderMessage<D extends DescMessage>(schema: D, message: MessageShape<D>): string {
  return renderJson(toJson(schema, message, { alwaysEmitImplicit: true }));
}

export function renderMessages<D extends DescMessage>(
  schema: D,
  messages: readonly MessageShape<D>[],
): string {
  return renderJson(messages.map((message) => toJson(schema, message, { alwaysEmitImplicit: true })));
}

export function renderJson(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}
