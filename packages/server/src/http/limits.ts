/** The most a head may take, in bytes, and the most fields in it. */
export const HEAD_BYTES = 64 * 1024;
export const HEAD_FIELDS = 200;
/** The most the first line of a request may take, in bytes. */
export const REQUEST_LINE_BYTES = 16 * 1024;
/** The most that chunk extensions may take, and trailers: in bytes, for each body all together. */
export const EXTENSION_BYTES = 4 * 1024;
export const TRAILER_BYTES = 16 * 1024;
