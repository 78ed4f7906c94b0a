let text = '';
let textFor = 0;

/** The time as HTTP writes it (RFC 9110 section 5.6.7), worked out once a second. */
export function dateNow(nowMs = Date.now()): string {
  const second = Math.floor(nowMs / 1000);
  if (second !== textFor) {
    textFor = second;
    text = new Date(nowMs).toUTCString();
  }
  return text;
}
