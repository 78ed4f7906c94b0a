/** Settings that environment variables can hold, each with its variables; the first one that is set wins. */
export const environmentVariables = {
  apiKey: ['RUNSTEAD_API_KEY'],
  baseUrl: ['RUNSTEAD_BASE_URL'],
  accessKeyId: ['AGENTRUN_ACCESS_KEY_ID', 'ALIBABA_CLOUD_ACCESS_KEY_ID'],
  accessKeySecret: ['AGENTRUN_ACCESS_KEY_SECRET', 'ALIBABA_CLOUD_ACCESS_KEY_SECRET'],
  securityToken: ['AGENTRUN_SECURITY_TOKEN', 'ALIBABA_CLOUD_SECURITY_TOKEN'],
  accountId: ['AGENTRUN_ACCOUNT_ID', 'FC_ACCOUNT_ID'],
  regionId: ['AGENTRUN_REGION', 'FC_REGION'],
  controlEndpoint: ['AGENTRUN_CONTROL_ENDPOINT'],
  dataEndpoint: ['AGENTRUN_DATA_ENDPOINT'],
  logLevel: ['RUNSTEAD_LOG'],
} as const;

export type EnvironmentSettings = { -readonly [Setting in keyof typeof environmentVariables]?: string };

export type Environment = Readonly<Record<string, string | undefined>>;

/** The variables of this process; none where there is no process. */
export function currentEnvironment(): Environment {
  return (globalThis as { process?: { env?: Environment } }).process?.env ?? {};
}

/** Variables that are empty or blank count as not set. */
export function readEnvironment(environment: Environment): EnvironmentSettings {
  const settings: EnvironmentSettings = {};
  for (const [setting, names] of Object.entries(environmentVariables)) {
    for (const name of names) {
      const value = environment[name]?.trim();
      if (value) {
        settings[setting as keyof EnvironmentSettings] = value;
        break;
      }
    }
  }
  return settings;
}
