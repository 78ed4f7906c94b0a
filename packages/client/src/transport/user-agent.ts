/** As in package.json; a test holds the two together. */
export const CLIENT_VERSION = '0.1.0';

export const USER_AGENT = `runstead-client/${CLIENT_VERSION}`;
