/** The command of `exec 'python3 example.py' example_job`: one text that a shell would split into words. */

/** The words, or a shell that is given the text when it holds more than words and quotes. */
export function shellWords(text: string): string[] {
  const words: string[] = [];
  // A word is made of quoted and bare parts that touch each other.
  const part = /'([^']*)'|"([^"\\$`]*)"|\\(.)|([^\s'"\\|&;<>()$`*?[\]#~{}!]+)|(\s+)/gsy;
  let word: string | undefined;
  while (part.lastIndex < text.length) {
    const match = part.exec(text);
    if (match === null) return ["/bin/sh", "-c", text];
    const [, single, double, escaped, bare, blank] = match;
    if (blank === undefined) {
      word = (word ?? "") + (single ?? double ?? escaped ?? bare ?? "");
    } else if (word !== undefined) {
      words.push(word);
      word = undefined;
    }
  }
  if (word !== undefined) words.push(word);
  // VAR=value in front is the shell's business too.
  return words[0]?.includes("=") ? ["/bin/sh", "-c", text] : words;
}
