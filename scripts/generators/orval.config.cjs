module.exports = {
  capstan: {
    input: "openapi.json",
    output: {
      target: "generated/orval/capstan.ts",
      schemas: "generated/orval/model",
      client: "fetch",
      mode: "split",
      baseUrl: process.env.CAPSTAN_URL,
    },
  },
};
