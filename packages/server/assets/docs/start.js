/* global SwaggerUIBundle */
// Shows the document; nothing of it leaves for other origins. A key typed into "Authorize" stays in this page.
SwaggerUIBundle({
  url: 'docs/openapi.json',
  dom_id: '#page',
  presets: [SwaggerUIBundle.presets.apis],
  layout: 'BaseLayout',
  deepLinking: true,
  displayRequestDuration: true,
  tryItOutEnabled: true,
  persistAuthorization: false,
  validatorUrl: null,
});
