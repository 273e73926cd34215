import { expect, test } from "bun:test";
import { parseInfo } from "../../src/containerd/cri_info.ts";

const none = { pid: 0, runtimeSpec: undefined };

test("a runtime's verbose answer gives pid and spec where it has them", () => {
  expect(parseInfo({ info: '{"pid": 12, "runtimeSpec": {"ociVersion": "1.1.0"}}' })).toEqual({
    pid: 12,
    runtimeSpec: { ociVersion: "1.1.0" },
  });
  expect(parseInfo({})).toEqual(none);
});

test("whatever else it says is taken for nothing", () => {
  for (const info of ["", "{", "null", "[]", "1", '{"pid": "1"}', '{"pid": -1}', '{"pid": 1.5}'])
    expect(parseInfo({ info })).toEqual(none);
});
