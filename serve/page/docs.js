// Relative, so that it works behind any prefix; no validator, which is somebody else's host.
SwaggerUIBundle({ url: 'openapi.json', dom_id: '#swagger', validatorUrl: null, tryItOutEnabled: true });
