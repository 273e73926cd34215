import { describe, expect, test } from "bun:test";
import { explain } from "../../src/criu/reasons.ts";

/** As CRIU 4.2.1 writes them. */
const line = (text: string) => `(00.030454) Error (criu/some.c:12): ${text}`;

describe("CRIU's log", () => {
  test("gives the first error its known reason and remedy", () => {
    const log = [line("Can't fork for 11227: File exists"), line("Restoring FAILED.")].join("\n");
    expect(explain(log)).toMatchObject({ reason: "PID_IN_USE", why: "pid 11227 is in use" });
  });

  test("names the file that changed, and its sizes", () => {
    const { why, hint } = explain(
      `(00.1)  11732: Error (criu/files-reg.c:2175): File tmp/job.log has bad size 10 (expect 6)`,
    );
    expect(why).toBe("file /tmp/job.log is now 10 bytes long, and was 6 when the checkpoint was taken");
    expect(hint).toBe("put the file back as it was");
  });

  test("is not misled by an error that harms nothing", () => {
    const harmless = line("rlimit: Can't setup RLIMIT_NOFILE for self: Operation not permitted");
    const { why, details } = explain([harmless, line("Something new broke")].join("\n"));
    expect(why).toBe("Something new broke");
    expect(details).toEqual([line("Something new broke")]);
  });

  test("without an error line says that there was none", () => {
    expect(explain("(00.1) all fine\n")).toMatchObject({
      reason: "CRIU_FAILED",
      why: "CRIU failed and gave no reason",
      details: [],
    });
  });

  test("is not all there is: what CRIU prints before it opens one counts too", () => {
    const printed = "CRIU needs to have the CAP_SYS_ADMIN or the CAP_CHECKPOINT_RESTORE capability: \n";
    expect(explain("", printed)).toMatchObject({
      reason: "PERMISSION_DENIED",
      why: "CRIU needs CAP_CHECKPOINT_RESTORE, which your user lacks",
    });
    expect(explain("", "some new complaint\n")).toMatchObject({ why: "some new complaint" });
  });

  test("keeps only the first lines of a long tale", () => {
    const log = Array.from({ length: 50 }, (_, index) => line(`broken ${index}`)).join("\n");
    expect(explain(log).details).toHaveLength(12);
  });
});
