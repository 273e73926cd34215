import { describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { failure, ifFound } from "../../src/containerd/failure.ts";

const where = { address: "/run/c.sock" };

function told(errno: string): { reason: string; message: string } {
  const cause = Object.assign(new Error("connect"), { code: errno });
  const { reason, message } = failure(
    where,
    "do it",
    new ConnectError("connect", Code.Internal, undefined, undefined, cause),
  );
  return { reason, message };
}

test("a connection that is not to be had is told by its cause", () => {
  expect(told("ENOENT")).toEqual({
    reason: "RUNTIME_UNAVAILABLE",
    message: "containerd is not running: there is no socket /run/c.sock",
  });
  expect(told("ECONNREFUSED")).toEqual({
    reason: "RUNTIME_UNAVAILABLE",
    message: "containerd is not running: nothing listens on /run/c.sock",
  });
  expect(told("EACCES")).toEqual({
    reason: "PERMISSION_DENIED",
    message: "no permission to connect to containerd on /run/c.sock",
  });
  expect(told("ECONNRESET").message).toBe(
    "the connection to containerd on /run/c.sock was lost in the middle of the call",
  );
});

describe("what containerd answers", () => {
  const answer = (code: Code, message = "why: unknown") =>
    failure(where, "do it", new ConnectError(message, code));

  test("is told with what was being done, without its own filling words", () => {
    expect(answer(Code.Unknown)).toMatchObject({ reason: "RUNTIME_FAILED", message: "cannot do it: why" });
    expect(answer(Code.InvalidArgument, "bad")).toMatchObject({
      reason: "INVALID_ARGUMENT",
      message: "cannot do it: bad",
    });
  });

  test("is the end of the connection when it is a cancellation that nobody asked for", () => {
    expect(answer(Code.Canceled).reason).toBe("RUNTIME_UNAVAILABLE");
    const cancelled = failure(
      { ...where, signal: AbortSignal.abort() },
      "do it",
      new ConnectError("x", Code.Canceled),
    );
    expect(cancelled).toMatchObject({ reason: "CANCELLED", message: "cancelled: do it" });
  });

  test("may be that there is no such thing", async () => {
    expect(await ifFound(Promise.reject(new ConnectError("no", Code.NotFound)))).toBeUndefined();
    const other = new ConnectError("no", Code.Internal);
    expect(await ifFound(Promise.reject(other)).catch((error) => error)).toBe(other);
  });
});
