/** The head of a file in a tar archive (POSIX ustar). @param name at most 100 octets of ASCII */
export function tarHead(name: string, size: number): Buffer {
  const head = Buffer.alloc(512);
  head.write(name, 0, 100, 'latin1');
  head.write('0000644\0', 100, 'latin1');
  head.write('0000000\0', 108, 'latin1');
  head.write('0000000\0', 116, 'latin1');
  if (size < 0o77777777777) head.write(`${size.toString(8).padStart(11, '0')}\0`, 124, 'latin1');
  else {
    // Beyond eight digits of octal, 8 GiB: binary, marked by the first bit.
    head[124] = 0x80;
    head.writeBigUInt64BE(BigInt(size), 128);
  }
  head.write('00000000000\0', 136, 'latin1');
  head.write('        0', 148, 'latin1');
  head.write('ustar\x0000', 257, 'latin1');
  const sum = head.reduce((total, octet) => total + octet, 0);
  head.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return head;
}

/** What follows a file's content, up to whole blocks. */
export function tarPadding(size: number): Buffer {
  return Buffer.alloc((512 - (size % 512)) % 512);
}

/** What ends an archive. */
export const TAR_END = Buffer.alloc(1024);
