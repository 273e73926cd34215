/** How long each step of an operation took. */
export interface Step {
  name: string;
  /** Milliseconds, with fractions. */
  ms: number;
}

export interface Profile {
  steps: Step[];
  /** Milliseconds from the first step's start to the last one's end. */
  totalMs: number;
}
