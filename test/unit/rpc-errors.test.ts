import { describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { errorFromJson, errorToJson } from "@connectrpc/connect/protocol-connect";
import { CedanaError, reasons } from "../../src/errors.ts";
import { connectionError } from "../../src/rpc/connection.ts";
import { encode, toConnectError } from "../../src/rpc/error_interceptor.ts";
import { fromAnswer, fromConnectError } from "../../src/rpc/errors.ts";

const unexpected = (error: unknown) => {
  throw new Error(`not foreseen: ${String(error)}`);
};

/** An error as a client of the Connect protocol gets it. */
function overTheWire(error: ConnectError): ConnectError {
  return errorFromJson(errorToJson(error, undefined), undefined, new ConnectError("no error"));
}

function errno(code: string): Error {
  return Object.assign(new Error(`connect ${code}`), { code });
}

describe("an error of the engine", () => {
  test.each([...reasons])("comes out of the API as it went in: %s", (reason) => {
    const error = new CedanaError({
      reason,
      message: "no such thing",
      hint: "try this",
      details: ["line 1", "line 2"],
    });
    const received = fromConnectError(overTheWire(toConnectError(error, unexpected)));
    expect(received).toMatchObject({
      reason,
      message: "no such thing",
      hint: "try this",
      details: ["line 1", "line 2"],
    });
  });

  test("comes out of plain JSON too, as the command line reads it", () => {
    const json = errorToJson(
      encode(new CedanaError({ reason: "DISK_FULL", message: "no space" })),
      undefined,
    );
    expect(fromAnswer(JSON.parse(JSON.stringify(json)))).toMatchObject({
      reason: "DISK_FULL",
      hint: undefined,
    });
  });

  test.each([
    ["JOB_NOT_FOUND", Code.NotFound],
    ["JOB_EXISTS", Code.AlreadyExists],
    ["PERMISSION_DENIED", Code.PermissionDenied],
    ["UNAUTHENTICATED", Code.Unauthenticated],
    ["SHUTTING_DOWN", Code.Unavailable],
    ["NOT_SUPPORTED", Code.Unimplemented],
    ["CANCELLED", Code.Canceled],
  ] as const)("has the code a generic client expects: %s", (reason, code) => {
    expect(encode(new CedanaError({ reason, message: "x" })).code).toBe(code);
  });

  test("that nobody foresaw says nothing of itself to the caller and all to the log", () => {
    const logged: unknown[] = [];
    const secret = new TypeError("cannot read /root/.ssh/id_rsa");
    const answer = toConnectError(secret, (error) => logged.push(error));
    expect(answer.code).toBe(Code.Internal);
    expect(JSON.stringify(errorToJson(answer, undefined))).not.toContain("id_rsa");
    expect(logged).toEqual([secret]);
  });

  test("that is an aborted signal's is a cancelled call, and is not logged", () => {
    const aborted = AbortSignal.abort().reason;
    expect(fromConnectError(overTheWire(toConnectError(aborted, unexpected))).reason).toBe("CANCELLED");
  });
});

describe("an answer without our detail", () => {
  test("of a daemon that lacks the call tells to restart it", () => {
    const error = fromConnectError(new ConnectError("not implemented", Code.Unimplemented));
    expect(error.reason).toBe("NOT_SUPPORTED");
    expect(error.hint).toContain("restart the daemon");
  });

  test("with a reason of a newer daemon keeps its message", () => {
    const debug = { reason: "SOMETHING_NEW", hint: "h" };
    const error = fromAnswer({
      code: "aborted",
      message: "new",
      details: [{ type: "cedana.daemon.v1.ErrorDetail", debug }],
    });
    expect(error).toMatchObject({ reason: "INTERNAL", message: "new", hint: "h" });
  });

  test.each([null, undefined, "text", 5, {}, { details: "x" }])(
    "is still an error, whatever it is: %p",
    (thrown) => {
      expect(fromConnectError(thrown)).toBeInstanceOf(CedanaError);
    },
  );

  test("says so when the deadline has passed or the call was aborted", () => {
    expect(fromConnectError(new ConnectError("x", Code.DeadlineExceeded)).message).toContain(
      "did not answer",
    );
    expect(fromConnectError(new DOMException("x", "AbortError")).reason).toBe("CANCELLED");
    expect(fromConnectError(new DOMException("x", "TimeoutError")).message).toContain("did not answer");
  });
});

describe("a connection that fails", () => {
  const address = "/run/cedana.sock";

  test.each(["ENOENT", "ECONNREFUSED"])(
    "because nobody listens means that the daemon is not running: %s",
    (code) => {
      const error = connectionError(errno(code), address);
      expect(error?.reason).toBe("DAEMON_NOT_RUNNING");
      expect(error?.message).toBe("the daemon is not running: nothing listens on /run/cedana.sock");
      expect(error?.hint).toContain("cedana daemon start");
    },
  );

  test("because the socket is not for this user says so", () => {
    expect(connectionError(errno("EACCES"), address)?.reason).toBe("PERMISSION_DENIED");
  });

  test("in the middle of a call says that it was lost", () => {
    expect(connectionError(errno("ECONNRESET"), address)?.message).toContain(
      "was lost in the middle of the call",
    );
  });

  test("is found among an error's causes", () => {
    const wrapped = new ConnectError("internal", Code.Internal, undefined, undefined, errno("ENOENT"));
    expect(connectionError(wrapped, address)?.reason).toBe("DAEMON_NOT_RUNNING");
  });

  test("is not made of other errors", () => {
    expect(connectionError(new Error("x"), address)).toBeUndefined();
    expect(connectionError(new CedanaError({ reason: "INTERNAL", message: "x" }), address)).toBeUndefined();
  });
});
