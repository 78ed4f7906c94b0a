// What the demo prints: titles, sentences, phases with seconds, and answers as they stream in.

export function title(text) {
  console.log(`\n${text}`);
}

export function say(text) {
  console.log(`  ${text}`);
}

export function note(text) {
  console.log(`  (${text})`);
}

export function phase(name, seconds) {
  console.log(`  ${name.padEnd(8)} ${seconds.toFixed(2).padStart(6)} s`);
}

/** A line that grows with the tokens; asides go on lines of their own before it. */
export function stream() {
  let text = '';
  return {
    get text() {
      return text;
    },
    aside(remark) {
      console.log(`  ${remark}`);
    },
    write(token) {
      if (token === '') return;
      process.stdout.write(text === '' ? `  > ${token}` : token);
      text += token;
    },
    end() {
      process.stdout.write('\n');
    },
  };
}
