package gateway;

import com.nimbusds.jose.JOSEObjectType;
import com.nimbusds.jose.proc.DefaultJOSEObjectTypeVerifier;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.interfaces.RSAPublicKey;
import java.util.List;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.context.annotation.Bean;
import org.springframework.security.config.web.server.ServerHttpSecurity;
import org.springframework.security.converter.RsaKeyConverters;
import org.springframework.security.oauth2.core.DelegatingOAuth2TokenValidator;
import org.springframework.security.oauth2.jwt.JwtClaimValidator;
import org.springframework.security.oauth2.jwt.JwtIssuerValidator;
import org.springframework.security.oauth2.jwt.JwtTimestampValidator;
import org.springframework.security.oauth2.jwt.NimbusReactiveJwtDecoder;
import org.springframework.security.oauth2.jwt.ReactiveJwtDecoder;
import org.springframework.security.web.server.SecurityWebFilterChain;

/** Demands an RFC 9068 token on every route; routes, key, issuer and audience come from the command line. */
@SpringBootApplication
public class Gateway {
    @Bean
    SecurityWebFilterChain chain(ServerHttpSecurity http) {
        return http.csrf(c -> c.disable()).authorizeExchange(x -> x.anyExchange().authenticated())
            .oauth2ResourceServer(o -> o.jwt(j -> { })).build();
    }

    @Bean
    ReactiveJwtDecoder decoder(@Value("${bench.key}") Path key, @Value("${bench.issuer}") String issuer, @Value("${bench.audience}") String audience)
        throws IOException {
        RSAPublicKey parsed;
        try (var in = Files.newInputStream(key)) {
            parsed = RsaKeyConverters.x509().convert(in);
        }
        var decoder = NimbusReactiveJwtDecoder.withPublicKey(parsed)
            .jwtProcessorCustomizer(p -> p.setJWSTypeVerifier(new DefaultJOSEObjectTypeVerifier<>(new JOSEObjectType("at+jwt")))).build();
        decoder.setJwtValidator(new DelegatingOAuth2TokenValidator<>(new JwtTimestampValidator(), new JwtIssuerValidator(issuer),
            new JwtClaimValidator<List<String>>("aud", aud -> aud != null && aud.contains(audience))));
        return decoder;
    }

    public static void main(String[] args) {
        SpringApplication.run(Gateway.class, args);
    }
}
