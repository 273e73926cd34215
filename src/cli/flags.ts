/** Flags that several commands share. */
import { compressions } from "../config/schema.ts";
import type { Flags } from "./command.ts";

export const jobFlags = {
  jid: {
    type: "string",
    alias: "j",
    valueHint: "ID",
    description: "id of the job (default: a generated name)",
  },
} satisfies Flags;

export const pidFileFlag = {
  "pid-file": {
    type: "string",
    valueHint: "FILE",
    candidates: "file",
    description: "write the PID to this file",
  },
} satisfies Flags;

export const noServerFlag = {
  "no-server": { type: "boolean", description: "work without the daemon, in the foreground of this shell" },
} satisfies Flags;

/** Where a started or restored job's output goes. */
export const outputFlags = {
  attach: { type: "boolean", alias: "a", description: "connect to the job; exit with its status" },
  attachable: { type: "boolean", description: "keep the output for a later attach, instead of a log" },
  out: {
    type: "string",
    alias: "o",
    valueHint: "FILE",
    candidates: "file",
    description: "log file of the job",
  },
} satisfies Flags;

/** CRIU's options that dump and restore both know. */
export const criuFlags = {
  "tcp-established": { type: "boolean", description: "keep established TCP connections" },
  "file-locks": { type: "boolean", description: "keep file locks" },
  "link-remap": { type: "boolean", description: "link unlinked files that are still open" },
  "shell-job": {
    type: "boolean",
    description: "the process belongs to a shell's session (found out by default)",
  },
  external: {
    type: "string",
    repeatable: true,
    valueHint: "RESOURCE",
    description: "resource outside the process tree, as CRIU names it",
  },
  "criu-opts": {
    type: "string",
    valueHint: "JSON",
    description: "options of CRIU by their names in its rpc.proto; they override all others",
  },
} satisfies Flags;

export const dumpFlags = {
  dir: {
    type: "string",
    alias: "d",
    valueHint: "DIR",
    candidates: "folder",
    description: "folder to create the checkpoint in, or s3://bucket/prefix, gs://bucket/prefix",
  },
  name: { type: "string", valueHint: "NAME", description: "name of the checkpoint, without suffix" },
  compression: { type: "enum", options: [...compressions], description: "how to pack the checkpoint" },
  streams: {
    type: "string",
    integer: true,
    valueHint: "N",
    description: "stream into so many shards, 2 to 64; 0 for none",
  },
  "leave-running": { type: "boolean", description: "let the process go on after the dump" },
  ...criuFlags,
  "skip-in-flight": { type: "boolean", description: "leave out TCP connections that are still being made" },
  "gpu-freeze-type": { type: "enum", options: ["ipc", "nccl"], description: "how GPU work is stopped" },
  async: {
    type: "boolean",
    description: "return when the images are on this host's disk; pack and upload in the background",
  },
  ...noServerFlag,
  "result-file": {
    type: "string",
    valueHint: "FILE",
    candidates: "file",
    description: "write the answer as JSON to this file",
  },
} satisfies Flags;

export const restoreFlags = {
  ...outputFlags,
  ...pidFileFlag,
  ...noServerFlag,
  "leave-stopped": { type: "boolean", description: "leave the restored processes stopped" },
  "tcp-close": { type: "boolean", description: "close established TCP connections" },
  ...criuFlags,
  "result-file": {
    type: "string",
    valueHint: "FILE",
    candidates: "file",
    description: "write the answer as JSON to this file",
  },
} satisfies Flags;

export const checkpointPathFlag = {
  type: "string",
  alias: "p",
  valueHint: "PATH",
  candidates: "file",
  description: "the checkpoint: an archive or a folder",
} as const;

export const gpuFlags = {
  "gpu-enabled": {
    type: "boolean",
    alias: "g",
    description: "make the job's GPU state part of its checkpoints",
  },
  "gpu-id": { type: "string", valueHint: "ID", description: "GPU controller to use" },
} satisfies Flags;

/** What every `run` takes. */
export const runFlags = {
  ...jobFlags,
  ...outputFlags,
  ...pidFileFlag,
  ...noServerFlag,
  ...gpuFlags,
} satisfies Flags;

/** A process's surroundings; a container's are in its config.json. */
export const surroundingsFlags = {
  env: {
    type: "string",
    repeatable: true,
    valueHint: "KEY=VAL",
    description: "add to the job's environment",
  },
  "env-file": {
    type: "string",
    valueHint: "FILE",
    candidates: "file",
    description: "add the KEY=VAL lines of this file",
  },
  cwd: {
    type: "string",
    valueHint: "DIR",
    candidates: "folder",
    description: "folder to run in (default: this one)",
  },
} satisfies Flags;

export const pidArgument = { type: "positional", integer: true, min: 1, valueHint: "PID" } as const;
export const jobArgument = { type: "positional", candidates: "job", valueHint: "JOB" } as const;
