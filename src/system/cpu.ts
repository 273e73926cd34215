/** The CPU's instruction-set extensions that programs choose their code by. */
import { readFileSync } from "node:fs";

/**
 * What libc's and compilers' run-time dispatch looks at, of /proc/cpuinfo's flags. The rest (power management,
 * mitigations, virtualisation) differs between equal hosts and no program depends on it.
 */
const dispatched =
  /^(sse\w*|ssse3|avx\w*|aes|pclmulqdq|popcnt|fma\w*|bmi\d|movbe|f16c|rdrand|rdseed|adx|sha_ni|vaes|vpclmulqdq|gfni|xsave\w*|xgetbv1|erms|fsrm|clflushopt|clwb|amx_\w+|asimd\w*|sve\w*|atomics|crc32|sha\d|pmull|fphp|lse\w*|bf16|i8mm|cx16|lahf_lm|abm|pku|ospke)$/;

let known: string[] | undefined;

export function cpuFeatures(): string[] {
  known ??= read();
  return known;
}

function read(): string[] {
  const line = /^(?:flags|Features)\s*:\s*(.*)$/m.exec(readFileSync("/proc/cpuinfo", "utf8"))?.[1] ?? "";
  return line.split(" ").filter((flag) => dispatched.test(flag));
}
